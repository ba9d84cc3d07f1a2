/**
 * Words that are refused in names. It is a short list of what offends in English nearly everywhere; what else offends
 * where you are, and in which languages, is for the file of your own rules to say. A word counts alone, between
 * separators, digits and the ends of a name; with a star at a side it may go on there. Words that are as often innocent
 * (`dick`, `cum`, `dyke`), and parts that many real names have (`shit` in Yoshitaka, `porn` in Siriporn, `cunt` in Chinese ones), are not taken
 * inside of others.
 */
export const offensiveWords: readonly string[] = words(`
  *fuck* *nigger* *nigga* *faggot* *motherfucker* *asshole* *arsehole* *cocksuck* *dickhead* *bullshit* *shithead*
  *dipshit* *dumbass* *fatass* *blowjob* *handjob* *rimjob* *gangbang* *cumshot* *childporn* *pedophil* *paedophil*
  *heilhitler* *siegheil* *killyourself* *towelhead* *raghead* *wetback*
  cunt cunts cunty ass arse shit shits shitty bitch bitches bastard bastards whore whores slut sluts cock cocks pussy pussies tits titties
  twat twats wank wanker wankers penis vagina dildo dildos anal anus jizz porn porno rape rapes rapist rapists pedo pedos
  fag fags kike kikes spic spics chink chinks gook gooks paki pakis tranny trannies retard retards nazi nazis hitler kkk
  kys
`)

/** Words that have an offensive part by chance; inside of them it is none. */
export const innocentWords: readonly string[] = words(`
  scunthorpe snigger niggard
`)

function words(text: string): readonly string[] {
  return text.trim().split(/\s+/)
}
