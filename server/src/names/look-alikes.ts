// How characters look. Keys are in lower case, but were perhaps typed in capitals, so a letter may look like a Latin
// one in either size (Greek ν: a small v, a capital N). After Unicode's confusables (UTS #39), those of scripts that
// fonts have; letters from right to left cannot stand beside Latin ones, and accents are taken off before.
const asSmall: Readonly<Record<string, string>> = {
  a: 'ɑαаᴀ',
  b: 'ƀɓъьвƅᏼʙ',
  c: 'ƈɕсҫϲᴄⲥꮯ',
  d: 'đɖɗԁժᴅ',
  e: 'ɇəҽеєεҿᴇꬲ',
  f: 'ƒքẝꞙꬵꜰ',
  g: 'ǥɠɡցԍᶃɢ',
  h: 'ħɦһհћʜ',
  i: 'ıɨɩɪιіᵻꭵ',
  j: 'ɉϳјյʝᴊ',
  k: 'ƙκкқᴋⲕ',
  l: 'łƚǀɫɭӏᛁⲓʟ',
  m: 'ɱмᴍᵯⲙ',
  n: 'ƞɲɳηпոռᴎᵰɴ',
  o: 'øɵθοσоѳөօഠ๐໐ဝ၀ዐᴏᴑⲟⵔ〇ꬽꮎ०০੦૦௦౦೦൦',
  p: 'ƥρрᴘⲣᵽ',
  q: 'ʠԛգզ',
  r: 'ɍɼɽгᴦⲅꭇꭈꮁʀ',
  s: 'ʂѕƽꜱꮪՏ',
  t: 'ŧƭтτᴛᵵⲧ',
  u: 'ʋυսцᴜꞟꭎꭒ',
  v: 'νѵᴠⴸꮩ',
  w: 'ɯωѡԝաшᴡꮃ',
  x: 'хχҳⲭ',
  y: 'ƴɏɣγуүұყỿꭚʏ',
  z: 'ƶȥʐᴢꮓ',
}
const asCapital: Readonly<Record<string, string>> = {
  a: 'αаᗅꭺⲁ',
  b: 'ɓβвᏼⲃꞵꮟ',
  c: 'сϲⲥꮯ',
  d: 'ðđɖꭰꮷ',
  e: 'εеəⲉꭼ',
  f: 'ϝƒ',
  g: 'ԍᏻꮐ',
  h: 'ηнңӈћⲏꮋ',
  i: 'ιіӏⲓ',
  j: 'јʝյꭻ',
  k: 'κкқҟⱪⲕꮶ',
  m: 'μмϻӎⲙꮇ',
  n: 'νɲⲛ',
  o: 'οоօσⲟ',
  p: 'ρрⲣꮲ',
  q: 'ԛ',
  r: 'ʀꭱꮢяг',
  s: 'ѕտꮥ',
  t: 'τтҭʈⱦⲧꭲ',
  u: 'ʉսυ',
  v: 'ѵꮩ',
  w: 'ԝѡꮃꮤ',
  x: 'χхҳⲭꭓ',
  y: 'υуүⲩꭹꮍ',
  z: 'ζꮓ',
}
// Digits and signs that people write for letters.
const asSign: Readonly<Record<string, string>> = {
  o: '0',
  i: '1!¡',
  e: '3',
  a: '4@',
  s: '5$',
  t: '7',
  b: '8',
  l: '|',
}

const smallOf = letterOf(asSmall)
const capitalOf = letterOf(asCapital)
const signOf = letterOf(asSign)

function letterOf(shapes: Readonly<Record<string, string>>): ReadonlyMap<string, string> {
  return new Map(
    Object.entries(shapes).flatMap(([letter, all]) => Array.from(all, (shape) => [shape, letter] as const)),
  )
}

// A letter or a space for each code of ASCII: separators and signs that are no letters end a word.
const ofAscii: readonly string[] = Array.from({ length: 0x80 }, (_, code) => {
  const character = String.fromCharCode(code).toLowerCase()
  return signOf.get(character) ?? (/[a-z0-9]/.test(character) ? character : ' ')
})

/** One way to read a name: `source` and `letters` go together, one UTF-16 unit for one. */
export interface Reading {
  /** The name without accents. */
  readonly source: string
  /** What its characters look like: Latin letters where they look like some, a space for what parts words. */
  readonly letters: string
}

/** The ways in which a name may be read: one for ASCII; for others in small letters and in capitals. */
export function readingsOf(name: string): readonly Reading[] {
  let letters = ''
  for (let index = 0; index < name.length; index += 1) {
    const code = name.charCodeAt(index)
    if (code >= 0x80) return longReadingsOf(name)
    letters += ofAscii[code]
  }
  return [{ source: name, letters }]
}

function longReadingsOf(name: string): readonly Reading[] {
  const source = name
    .normalize('NFKD')
    .toLowerCase()
    .replace(/[\p{M}\p{Default_Ignorable_Code_Point}]/gu, '')
    .replaceAll('æ', 'ae')
    .replaceAll('œ', 'oe')
    .replaceAll('ß', 'ss')
  return [smallOf, capitalOf].map((shapes) => {
    const letters = source.replace(/[\s\S]/g, (unit) => {
      const ascii = ofAscii[unit.charCodeAt(0)]
      return ascii ?? shapes.get(unit) ?? smallOf.get(unit) ?? unit
    })
    return { source, letters }
  })
}

/**
 * What is equal for two words that can be taken for each other at a glance: separators count for nothing, a small `l` is
 * a capital `I`, and `rn` is `m`.
 */
export function skeletonOf({ letters }: Reading): string {
  return letters.replaceAll('rn', 'm').replaceAll('vv', 'w').replaceAll('i', 'l').replaceAll(' ', '')
}
