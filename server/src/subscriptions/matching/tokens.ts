import type { Event } from '@pulse/protocol/event'
import { HashTable } from './hash-table.ts'
import { ObjectPool } from './object-pool.ts'
import { RecordPool } from './record-pool.ts'
import { hashBackwards, hashEnd, hashNumber, hashText } from './text-hash.ts'
import { Texts } from './texts.ts'

/** What a token says of a value. Where case is ignored, texts are folded. */
export const tokenKinds = {
  number: 0,
  /** One of `constants`. */
  constant: 1,
  text: 2,
  prefix: 3,
  suffix: 4,
  foldedText: 5,
  foldedPrefix: 6,
  foldedSuffix: 7,
  /** The first bits of an address. */
  block: 8,
  /** Anything that has to be tried on the event, at most once for each. */
  question: 9,
} as const
export type TokenKind = (typeof tokenKinds)[keyof typeof tokenKinds]

/** Values without a text or number, by their place. */
export const constants = { null: 0, false: 1, true: 2, exists: 3 } as const

/** Something to be tried on an event. */
export interface Question {
  /** Equal questions have equal keys. */
  readonly key: string
  readonly ask: (event: Event) => boolean
}

/** Texts, numbers, the places of constants, questions. */
type Value = string | number | Question

/** Kinds of tokens that one field can have, as a power of two. */
const kindBits = 4
/** Owner of the questions, which belong to no field. */
export const questionOwner = tokenKinds.question

/** What a kind of token of one field is called in the table. Fields are numbered from 1. */
export const ownerOf = (field: number, kind: TokenKind): number => (field << kindBits) | kind
export const fieldOf = (owner: number): number => owner >>> kindBits
export const kindOf = (owner: number): TokenKind => (owner & ((1 << kindBits) - 1)) as TokenKind

/** Whether the tokens of such kinds exclude each other: a value has one of them. A constant may be that there is one. */
export const isWholeValue = (kind: TokenKind): boolean =>
  kind === tokenKinds.text || kind === tokenKinds.number

// Fields of a record.
const OWNER = 0
const REFERENCES = 1
const STAMP = 2
/** The text, the number or the constant itself. */
const VALUE = 3

// Its only other field, for when it goes.
const HASH = 0

/**
 * Small numbers for the values that filters name: "text `gold` of field 3" is a token, "prefix `/docs/` of field 5" another.
 * A value of an event that has no token cannot matter to any filter. A token lives as long as a filter refers to it.
 *
 * Tokens carry the stamp of the last event that had them, so that whether the event has one is a single look.
 */
export class Tokens {
  readonly #records = new RecordPool({ width: 4, cold: 1 })
  readonly #table = new HashTable()
  readonly #texts = new Texts()
  /** As two int32. */
  readonly #numbers = new RecordPool({ width: 2 })
  /** By token. */
  readonly #questions = new ObjectPool<Question>()

  get size(): number {
    return this.#records.size
  }

  /** Memory held, in bytes, without questions. */
  get bytes(): number {
    return this.#records.bytes + this.#table.bytes + this.#texts.bytes + this.#numbers.bytes
  }

  /**
   * The token of a text whose hash state is known, or -1. The text may be longer than `length`: only its first units
   * count, or its last for suffixes. Called for every text of every event, so without an object for its arguments.
   */
  findText(owner: number, state: number, text: string, length: number): number {
    const kind = kindOf(owner)
    const from = kind === tokenKinds.suffix || kind === tokenKinds.foldedSuffix ? text.length - length : 0
    const table = this.#table
    const records = this.#records
    for (let token = table.first(hashEnd(state, owner, length)); token >= 0; token = table.next()) {
      const chunk = records.chunks[token >>> records.shift] as Int32Array
      const at = (token & records.mask) * 4
      if (chunk[at + OWNER] === owner && this.#texts.isAt(chunk[at + VALUE] as number, text, from, length))
        return token
    }
    return -1
  }

  /** The token of a number or a constant, or -1. */
  findNumber(owner: number, number: number): number {
    const table = this.#table
    for (let token = table.first(hashEnd(hashNumber(number), owner, 0)); token >= 0; token = table.next())
      if (this.#records.get(token, OWNER) === owner && this.numberOf(token) === number) return token
    return -1
  }

  /** The token of a value, or -1. */
  find(owner: number, value: Value): number {
    if (typeof value === 'number') return this.findNumber(owner, value)
    if (typeof value === 'string') return this.findText(owner, stateOf(owner, value), value, value.length)
    const table = this.#table
    for (let token = table.first(hashOf(owner, value)); token >= 0; token = table.next())
      if (this.#questions.get(token)?.key === value.key) return token
    return -1
  }

  /** Makes the token of a value that has none. Nothing refers to it yet. */
  add(owner: number, value: Value): number {
    const records = this.#records
    const token = records.allocate()
    const hash = hashOf(owner, value)
    records.set(token, OWNER, owner)
    records.set(token, REFERENCES, 0)
    records.set(token, STAMP, 0)
    records.setCold(token, HASH, hash)
    if (typeof value === 'string') records.set(token, VALUE, this.#texts.add(value))
    else if (typeof value === 'object') this.#questions.set(token, value)
    else records.set(token, VALUE, kindOf(owner) === tokenKinds.number ? this.#addNumber(value) : value)
    this.#table.insert(hash, token)
    return token
  }

  #addNumber(value: number): number {
    const number = this.#numbers.allocate()
    double[0] = value + 0
    this.#numbers.set(number, 0, halves[0] as number)
    this.#numbers.set(number, 1, halves[1] as number)
    return number
  }

  retain(token: number): void {
    this.#records.set(token, REFERENCES, this.#records.get(token, REFERENCES) + 1)
  }

  /** Counts one reference less; true if it was the last, and the token is to be removed. */
  release(token: number): boolean {
    const references = this.#records.get(token, REFERENCES) - 1
    this.#records.set(token, REFERENCES, references)
    return references === 0
  }

  remove(token: number): void {
    this.#table.remove(this.#records.getCold(token, HASH), token)
    const kind = kindOf(this.owner(token))
    const value = this.#records.get(token, VALUE)
    if (kind === tokenKinds.number) this.#numbers.free(value)
    else if (kind === tokenKinds.question) this.#questions.clear(token)
    else if (kind !== tokenKinds.constant) this.#texts.free(value)
    this.#records.free(token)
  }

  owner(token: number): number {
    return this.#records.get(token, OWNER)
  }

  /** The value of a number or constant. */
  numberOf(token: number): number {
    const value = this.#records.get(token, VALUE)
    if (kindOf(this.owner(token)) === tokenKinds.constant) return value
    halves[0] = this.#numbers.get(value, 0)
    halves[1] = this.#numbers.get(value, 1)
    return double[0] as number
  }

  /** The text of a token that is one of texts or blocks. */
  textOf(token: number): string {
    return this.#texts.textOf(this.#records.get(token, VALUE))
  }

  /** Notes that the event of this stamp has the token; false if that was known. */
  mark(token: number, stamp: number): boolean {
    if (this.#records.get(token, STAMP) === stamp) return false
    this.#records.set(token, STAMP, stamp)
    return true
  }

  /** Whether the event of this stamp has the token. A question is asked the first time; `-stamp` stands for no. */
  has(token: number, stamp: number, event: Event): boolean {
    const records = this.#records
    const seen = records.get(token, STAMP)
    if (seen === stamp) return true
    if (seen === -stamp || records.get(token, OWNER) !== questionOwner) return false
    const yes = this.#questions.get(token)?.ask(event) === true
    records.set(token, STAMP, yes ? stamp : -stamp)
    return yes
  }

  /** Forgets all stamps, before they begin anew. */
  clearStamps(): void {
    for (const chunk of this.#records.chunks) for (let at = STAMP; at < chunk.length; at += 4) chunk[at] = 0
  }
}

function stateOf(owner: number, text: string): number {
  const kind = kindOf(owner)
  const backwards = kind === tokenKinds.suffix || kind === tokenKinds.foldedSuffix
  return backwards ? hashBackwards(text) : hashText(text)
}

function hashOf(owner: number, value: Value): number {
  if (typeof value === 'number') return hashEnd(hashNumber(value), owner, 0)
  if (typeof value === 'string') return hashEnd(stateOf(owner, value), owner, value.length)
  return hashEnd(hashText(value.key), owner, 0)
}

const double = new Float64Array(1)
const halves = new Int32Array(double.buffer)
