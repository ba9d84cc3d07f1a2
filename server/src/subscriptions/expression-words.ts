import { FilterError } from './filter-error.ts'

/** A piece of an expression: a word, a text in quotes, a number or a sign. */
export interface Token {
  readonly kind: 'word' | 'text' | 'number' | 'sign' | 'end'
  /** What it says: the word as written, the text without its quotes and escapes, the sign. */
  readonly text: string
  /** Its first character, from 0. */
  readonly at: number
}

/** Words of the language. A member of that name needs quotes where a condition begins. */
export const keywords: ReadonlySet<string> = new Set(
  'and or not in between starts ends with like exists missing anything but has cidr ignoring case exactly everything nothing true false null'.split(
    ' ',
  ),
)

const word = /[\p{L}_$@][\p{L}\p{N}_$@-]*/uy
const number = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?(?![\p{L}\p{N}_$@.])/uy
const sign = /!=|<=|>=|[=<>(),.]/y
const shapes = [
  ['number', number],
  ['word', word],
  ['sign', sign],
] as const
const space = /\s*/y

/** What people who know another language write, and what it is called here. */
const falseFriends: readonly (readonly [RegExp, string])[] = [
  [/==/y, '= compares'],
  [/<>/y, 'write != instead'],
  [/&/y, 'write and'],
  [/\|/y, 'write or'],
  [/!(?!=)/y, 'write not'],
  [/\[/y, 'a path stands for every element of a list already'],
  [/\*/y, 'a * stands inside quotes'],
  [/[+/%]|-(?!\d)/y, 'the language does not compute'],
]

/** Refuses an expression at a character, counted from 0. */
export function refuseAt(at: number, message: string): never {
  throw new FilterError('invalid_filter', message, { at })
}

/** How a text begins, in quotes, for messages. */
export const shortened = (text: string): string =>
  JSON.stringify(text.length > 40 ? `${text.slice(0, 40)}…` : text)

/** Reads an expression one token at a time, no further than it is asked to. Throws a `FilterError` at what is no token. */
export class Tokens {
  readonly #text: string
  readonly #ahead: Token[] = []
  #at = 0

  constructor(text: string) {
    this.#text = text
  }

  /** The next token, or the one `skipped` behind it, which stays where it is. */
  peek(skipped = 0): Token {
    while (this.#ahead.length <= skipped) this.#ahead.push(this.#read())
    return this.#ahead[skipped] as Token
  }

  next(): Token {
    const token = this.peek()
    this.#ahead.shift()
    return token
  }

  #read(): Token {
    this.#match(space)
    const at = this.#at
    if (at >= this.#text.length) return { kind: 'end', text: '', at }
    const quote = this.#text[at]
    if (quote === '"' || quote === "'") return { kind: 'text', text: this.#readText(quote), at }
    const friend = falseFriends.find(([shape]) => this.#isNext(shape))
    if (friend) return this.#refuse(at, friend[1])
    for (const [kind, shape] of shapes) {
      const text = this.#match(shape)
      if (text !== undefined) return { kind, text, at }
    }
    return this.#refuse(at, /[-\d]/.test(quote ?? '') ? 'numbers are written as in -1.5 or 2e9' : undefined)
  }

  #refuse(at: number, hint: string | undefined): never {
    const character = String.fromCodePoint(this.#text.codePointAt(at) ?? 0)
    return refuseAt(at, `${JSON.stringify(character)} has no meaning here${hint ? `: ${hint}` : ''}`)
  }

  #isNext(shape: RegExp): boolean {
    shape.lastIndex = this.#at
    return shape.test(this.#text)
  }

  #match(shape: RegExp): string | undefined {
    shape.lastIndex = this.#at
    const found = shape.exec(this.#text)?.[0]
    if (found === undefined) return undefined
    this.#at += found.length
    return found
  }

  /** A text as in JSON, in single or double quotes. */
  #readText(quote: string): string {
    const start = this.#at
    let text = ''
    for (let at = start + 1; at < this.#text.length; at++) {
      const character = this.#text[at] as string
      if (character === quote) {
        this.#at = at + 1
        return text
      }
      if (character < ' ') refuseAt(at, 'a text ends on the line where it begins: write \\n for a new line')
      if (character === '\\') {
        const { decoded, length } = this.#readEscape(at)
        text += decoded
        at += length - 1
      } else text += character
    }
    return refuseAt(start, `the text that begins with ${quote} has no end`)
  }

  #readEscape(at: number): { decoded: string; length: number } {
    const character = this.#text[at + 1] ?? ''
    const decoded = escapes[character]
    if (decoded !== undefined) return { decoded, length: 2 }
    const hex = this.#text.slice(at + 2, at + 6)
    if (character === 'u' && /^[0-9a-fA-F]{4}$/.test(hex))
      return { decoded: String.fromCharCode(Number.parseInt(hex, 16)), length: 6 }
    return refuseAt(at, `\\${character} stands for nothing: a backslash itself is written \\\\`)
  }
}

const escapes: Readonly<Record<string, string>> = {
  '"': '"',
  "'": "'",
  '\\': '\\',
  '/': '/',
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
}
