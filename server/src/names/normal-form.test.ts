import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { NameFault, type NameFaultReason, nameBytesMax, normalForm } from './normal-form.ts'

test('texts that a person would call one name have one key', () => {
  const keys: Readonly<Record<string, readonly string[]>> = {
    'ada.lovelace': [
      'ada.lovelace',
      'ADA.Lovelace',
      '  Ada.Lovelace\n',
      'Ａｄａ．Ｌｏｖｅｌａｃｅ',
      '\u3000ada.lovelace',
    ],
    zürich: ['zürich', 'ZÜRICH', 'zu\u0308rich', 'ZU\u0308RICH'],
    // Half-wide katakana whose voice mark stands apart.
    ガギ: ['ガギ', 'ｶﾞｷﾞ', 'カ\u3099キ\u3099'],
    σίσυφος: ['σίσυφος', 'ΣΊΣΥΦΟΣ', 'Σίσυφος'],
    i̇stanbul: ['İstanbul', 'i̇stanbul'],
    paral·lel: ['paral·lel', 'PARAL·LEL'],
    한국: ['한국'],
    'o\u0323\u0302': ['ộ', 'Ộ', 'o\u0302\u0323', 'O\u0323\u0302'].map((text) => text.normalize('NFD')),
  }
  for (const [key, texts] of Object.entries(keys))
    for (const text of texts) assert.equal(normalForm(text, 'username'), key.normalize('NFC'), text)
})

test('the examples of RFC 8265 end as it says', () => {
  for (const text of ['juliet@example.com', 'fussball', 'fu\u00dfball', '\u03c0', '\u03c3', '\u03c2'])
    assert.equal(normalForm(text, 'username'), text)
  assert.equal(normalForm('\u03a3', 'username'), '\u03c3')
  for (const text of ['foo bar', '', 'henry\u2163', '\u265a'])
    assert.throws(() => normalForm(text, 'username'), NameFault)
})

/** Why the text is no name, or the key that it has. */
function reasonOf(text: string, profile: 'username' | 'exact' = 'username'): NameFaultReason | string {
  try {
    return `key ${normalForm(text, profile)}`
  } catch (error) {
    if (error instanceof NameFault) return error.reason
    throw error
  }
}

test('a text with a character that no identifier has is refused, and the sentence names it', () => {
  const refused: Readonly<Record<string, string>> = {
    'space within': 'ada lovelace',
    'wide space within': 'ada\u3000lovelace',
    control: 'ada\u0007',
    NUL: 'a\0da',
    'half a pair': 'ada\ud800',
    'zero width space': 'ad\u200ba',
    'soft hyphen': 'ad\u00ada',
    'variation selector': 'ada\ufe0f',
    'override of the direction': 'ada\u202eadmin',
    unassigned: 'ada\u0378',
    private: 'ada\ue000',
    noncharacter: 'ada\ufffe',
    ligature: '\ufb01x',
    'kelvin sign': '\u212aelvin',
    'mathematical letter': '\u{1d4d0}da',
    'titlecase pair': '\u01c5ep',
    emoji: 'ada\u{1f600}',
    'old jamo': '\u1100\u1161',
    'half-wide jamo': '\uffa1',
    kashida: 'عـلي',
    'euro sign': '5€',
    'half-wide arrow': '\uffe9',
  }
  for (const [what, text] of Object.entries(refused)) assert.equal(reasonOf(text), 'disallowed', what)
  assert.throws(() => normalForm('ada\u{1f600}', 'username'), {
    message: 'A name cannot have “\u{1f600}” (U+1F600) in it.',
  })
  // The sentence does not carry what would hide or reorder it.
  assert.throws(() => normalForm('ada\u202e', 'username'), { message: 'A name cannot have U+202E in it.' })
  assert.throws(() => normalForm('a b', 'username'), { message: 'A name cannot have white space in it.' })
})

test('a character that needs a context is refused without it', () => {
  const inContext = [
    'می\u200cخواهم',
    'क्\u200cष',
    'क्\u200dष',
    'l·l',
    '\u0375α',
    'א\u05f3',
    'א\u05f4ב',
    'ア・ア',
    'ب٠١',
    'ب۰۱',
  ]
  for (const text of inContext) assert.equal(reasonOf(text), `key ${text}`)
  const outOfContext = [
    'a\u200cb',
    'ا\u200cب',
    'م\u200c',
    'ب\u200dب',
    '\u200dक',
    'l·x',
    'x·l',
    '·',
    '\u0375a',
    'a\u05f3',
    'a・b',
    'ب٠۱',
  ]
  for (const text of outOfContext) assert.equal(reasonOf(text), 'context', JSON.stringify(text))
  // The marks of vowels stand between the letters that would join.
  assert.equal(reasonOf('ب\u064e\u200c\u064eب'), 'key ب\u064e\u200c\u064eب')
  // The form that NFC gives is judged: it moves the virama away from the joiner. Other marks allow none.
  for (const text of ['क\u0951\u094d\u200dष', 'か\u3099\u3099\u200d', 'א\u05b0\u200d', 'e\u0323\u200d'])
    assert.equal(reasonOf(text), 'context', JSON.stringify(text))
})

test('a text with letters from right to left keeps the Bidi rule', () => {
  for (const text of ['שלום', 'مريم', 'שלום1', 'א_ב', 'אָ', 'ب١٢', '\u{1e900}'.toLowerCase(), 'ߊ߁'])
    assert.match(reasonOf(text), /^key /, text)
  for (const text of ['שלוםa', 'aשלום', '1א', '_א', 'א_', 'אa1', 'ب1١', '١٢', '-ב'])
    assert.equal(reasonOf(text), 'bidi', text)
  // Marks of Kannada count as letters from left to right although they are marks.
  assert.equal(reasonOf('א\u0cbf'), 'bidi')
})

test('a name is at most 1,020 bytes of UTF-8 long, in both profiles', () => {
  for (const profile of ['username', 'exact'] as const) {
    for (const [character, bytes] of [
      ['a', 1],
      ['é', 2],
      ['字', 3],
      ['\u{20000}', 4],
    ] as const) {
      const most = character.repeat(nameBytesMax / bytes)
      assert.equal(normalForm(most, profile), most)
      assert.equal(reasonOf(`${most}${character}`, profile), 'too_long')
    }
    // White space around does not count.
    assert.equal(normalForm(`${' '.repeat(2_000)}a`, profile), 'a')
  }
  // A capital may be shorter than its small letter.
  assert.equal(reasonOf('Ⱥ'.repeat(nameBytesMax / 2)), 'too_long')
})

test('the exact form is the text without the white space around it', () => {
  for (const text of [
    'Dorthy71',
    'dorthy71',
    'Euna.Little',
    'a b',
    'zu\u0308rich',
    'zürich',
    '@scope/Name',
    '♚',
    'אa',
    '\u0007x',
  ])
    assert.equal(normalForm(` ${text}\t\n`, 'exact'), text)
  assert.equal(reasonOf('a\0b', 'exact'), 'disallowed')
  assert.equal(reasonOf('\udc00', 'exact'), 'disallowed')
  assert.equal(reasonOf('\u{1f600}', 'exact'), 'key \u{1f600}')
  for (const profile of ['username', 'exact'] as const) {
    assert.equal(reasonOf('', profile), 'empty')
    assert.equal(reasonOf(' \n\u3000', profile), 'empty')
  }
})

/** The key, or undefined for a text that is no name. */
function keyOf(text: string, profile: 'username' | 'exact' = 'username'): string | undefined {
  const said = reasonOf(text, profile)
  return said.startsWith('key ') ? said.slice(4) : undefined
}

/** Every code point that there could ever be. */
function* everyCharacter(): Generator<string> {
  for (let point = 0; point <= 0x10ffff; point += 1) yield String.fromCodePoint(point)
}

test('the key of a key is that key, for every character there is', () => {
  const { stackTraceLimit } = Error
  Error.stackTraceLimit = 0
  try {
    let names = 0
    for (const character of everyCharacter()) {
      const key = keyOf(character)
      if (key === undefined) continue
      names += 1
      assert.equal(keyOf(key), key, character)
      assert.equal(key, key.normalize('NFC').toLowerCase(), character)
    }
    assert.ok(names > 130_000, `${names} characters are names`)
  } finally {
    Error.stackTraceLimit = stackTraceLimit
  }
})

// Characters that one step makes into something that another step has seen already, beside the ordinary ones.
const troublesome = fc.constantFrom(
  ...['İ', 'ı', 'Σ', 'σ', 'ς', 'ẞ', 'ß', 'ŉ', 'K', 'Å', 'Ａ', 'ｶ', 'ﾞ', 'ﾟ', '・', '･', '·', 'l', 'L'],
  ...[
    '\u0300',
    '\u0301',
    '\u0323',
    '\u0307',
    '\u0345',
    '\u0951',
    '\u094d',
    '\u093c',
    '\u05b0',
    '\u3099',
    '\u200c',
    '\u200d',
  ],
  ...[
    'क',
    'ب',
    'م',
    'א',
    '١',
    '۱',
    '1',
    'ᾈ',
    'ά',
    'Ά',
    'Ꭰ',
    'ꭰ',
    '가',
    '\u1100',
    '\u1161',
    '\u11a8',
    '\u{1e900}',
  ],
)
const anyText = fc.string({
  unit: fc.oneof(
    troublesome,
    fc.constantFrom(...'abcXYZ019._-'),
    fc.string({ unit: 'binary', minLength: 1, maxLength: 1 }),
    fc.integer({ min: 0xc0, max: 0xd7ff }).map((point) => String.fromCodePoint(point)),
  ),
  maxLength: 8,
})

test('the key of a key is that key, for any text; a key is in NFC and has no capitals', () => {
  for (const profile of ['username', 'exact'] as const) {
    fc.assert(
      fc.property(anyText, (text) => {
        const key = keyOf(text, profile)
        fc.pre(key !== undefined)
        assert.equal(keyOf(key ?? '', profile), key)
        assert.ok(Buffer.byteLength(key ?? '') <= nameBytesMax)
        if (profile === 'username') assert.equal(key, key?.normalize('NFC').toLowerCase())
      }),
      { numRuns: 10_000, maxSkipsPerRun: 1_000 },
    )
  }
})

test('the quick way of ASCII and the long way of all texts give one key', () => {
  const visible = fc.string({
    unit: fc.integer({ min: 0x21, max: 0x7e }).map((code) => String.fromCharCode(code)),
  })
  fc.assert(
    fc.property(visible, (text) => {
      // A letter beyond ASCII, which changes nothing about the others, forces the long way.
      assert.equal(keyOf(`${text}é`), `${text === '' ? '' : normalForm(text, 'username')}é`)
    }),
    { numRuns: 5_000 },
  )
})

test('the runtime knows the version of Unicode that stored keys were made with', () => {
  // A newer one is no error, but read what normalForm says about keys, and bring bidi-rule.ts and joining.ts up to it.
  assert.equal(process.versions.unicode, '17.0')
})
