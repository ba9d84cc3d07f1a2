/**
 * Names that nobody can have, beside the first words of the product's own addresses: who bears one is taken for the
 * people who run the place, for a mailbox that a standard gives them (RFC 2142), for a machine, for a value of a
 * program, for all people of a room, or for a page. In lower case, without accents.
 */
export const reservedNames: readonly string[] = [
  ...words(`
    admin admins administrator administrators administration root superuser superadmin sysadmin sysop sysops system
    operator operators owner owners staff team moderator moderators mod mods official officials verified management
    support helpdesk help helpcenter help-center service services customer-service customer-support trust-and-safety
    community bot bots webhook webhooks pulse
  `),
  ...words(`
    abuse noc security postmaster hostmaster webmaster usenet news uucp ftp www info marketing sales billing payment
    payments accounting finance legal privacy compliance dmca copyright press media jobs careers contact contact-us
    mailer-daemon mailerdaemon daemon noreply no-reply donotreply do-not-reply bounce bounces newsletter
  `),
  ...words(`
    localhost localdomain broadcasthost mail email smtp imap pop3 webmail dns mx ns ns1 ns2 proxy gateway router server
    servers host hosts node nodes cdn static assets autoconfig autodiscover wpad isatap vpn ssl tls git ssh sftp
  `),
  ...words(`
    null undefined nil none nan true false void unknown anonymous anon nobody somebody anybody everyone everybody all
    here channel me myself self you user username users guest guests default deleted removed example test tests
    member members account accounts profile profiles
  `),
  ...words(`
    about admin-panel adminpanel api apis app apps auth authentication authorize authorization oauth oauth2 openid sso
    saml login logout log-in log-out signin signout signup sign-in sign-out sign-up register registration password
    passwords forgot-password reset-password recover recovery verify verification confirm activate invite invites
    session sessions token tokens key keys settings preferences config configuration setup install dashboard console
    control-panel controlpanel panel status health metrics monitor docs doc documentation developer developers download
    downloads upload uploads file files image images img css js javascript json xml rss atom feed feeds home index
    explore search trending tags topics messages notifications inbox forum forums wiki blog shop store cart checkout
    pricing plans premium subscribe unsubscribe subscriptions terms tos policy policies cookies license legal-notice
    imprint faq feedback report reports error errors public private internal beta demo new edit create delete update
    remove save web websocket ws widget sitemap sitemap.xml robots.txt humans.txt security.txt favicon.ico .well-known
    manifest.json index.html
  `),
]

/** Real words and first names that are reserved ones only for who takes an `l` for a capital `I`, or a 3 for an `e`. */
export const lookAlikeWords: readonly string[] = words(`
  biog flies mali mall pope seif
`)

function words(text: string): readonly string[] {
  return text.trim().split(/\s+/)
}
