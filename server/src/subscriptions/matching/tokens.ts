import type { Event } from '@pulse/protocol/event'
import { HashTable } from './hash-table.ts'
import { ObjectPool } from './object-pool.ts'
import { RecordPool } from './record-pool.ts'
import { hashBackwards, hashEnd, hashNumber, hashText } from './text-hash.ts'

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

type Value = string | number | Question

/** Kinds of tokens that one field can have, as a power of two. */
const kindBits = 4
/** Owner of the questions, which belong to no field. */
export const questionOwner = tokenKinds.question

/** What a kind of token of one field is called in the table. Fields are numbered from 1. */
export const ownerOf = (field: number, kind: TokenKind): number => (field << kindBits) | kind
export const fieldOf = (owner: number): number => owner >>> kindBits
export const kindOf = (owner: number): TokenKind => (owner & ((1 << kindBits) - 1)) as TokenKind

// Fields of a record.
const HASH = 0
const OWNER = 1
const REFERENCES = 2
const STAMP = 3

/**
 * Small numbers for the values that filters name: "text `gold` of field 3" is a token, "prefix `/docs/` of field 5" another.
 * A value of an event that has no token cannot matter to any filter. A token lives as long as a filter refers to it.
 *
 * Tokens carry the stamp of the last event that had them, so that whether the event has one is a single look.
 */
export class Tokens {
  readonly #records = new RecordPool({ width: 4 })
  readonly #table = new HashTable()
  readonly #values = new ObjectPool<Value>()

  get size(): number {
    return this.#records.size
  }

  /** Memory held, in bytes, without the texts. */
  get bytes(): number {
    return this.#records.bytes + this.#table.bytes + 8 * this.#records.size
  }

  /**
   * The token of a text whose hash state is known, or -1. The text may be longer than `length`: only its first units
   * count, or its last for suffixes. Called for every text of every event, so without an object for its arguments.
   */
  findText(owner: number, state: number, text: string, length: number): number {
    const table = this.#table
    for (let token = table.first(hashEnd(state, owner, length)); token >= 0; token = table.next())
      if (this.#records.get(token, OWNER) === owner && isText(this.value(token), text, length, kindOf(owner)))
        return token
    return -1
  }

  findNumber(owner: number, number: number): number {
    const table = this.#table
    for (let token = table.first(hashEnd(hashNumber(number), owner, 0)); token >= 0; token = table.next())
      if (this.#records.get(token, OWNER) === owner && this.value(token) === number) return token
    return -1
  }

  /** The token of a value, or -1. */
  find(owner: number, value: Value): number {
    if (typeof value === 'number') return this.findNumber(owner, value)
    if (typeof value === 'string') return this.findText(owner, stateOf(owner, value), value, value.length)
    const table = this.#table
    for (let token = table.first(hashEnd(hashText(value.key), owner, 0)); token >= 0; token = table.next()) {
      const other = this.value(token)
      if (typeof other === 'object' && other.key === value.key) return token
    }
    return -1
  }

  /** Makes the token of a value that has none. Nothing refers to it yet. */
  add(owner: number, value: Value): number {
    const token = this.#records.allocate()
    const hash =
      typeof value === 'number'
        ? hashEnd(hashNumber(value), owner, 0)
        : typeof value === 'string'
          ? hashEnd(stateOf(owner, value), owner, value.length)
          : hashEnd(hashText(value.key), owner, 0)
    this.#records.set(token, HASH, hash)
    this.#records.set(token, OWNER, owner)
    this.#records.set(token, REFERENCES, 0)
    this.#records.set(token, STAMP, 0)
    this.#values.set(token, typeof value === 'string' ? ownCopy(value) : value)
    this.#table.insert(hash, token)
    return token
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
    this.#table.remove(this.#records.get(token, HASH), token)
    this.#values.clear(token)
    this.#records.free(token)
  }

  owner(token: number): number {
    return this.#records.get(token, OWNER)
  }

  value(token: number): Value {
    return this.#values.get(token) as Value
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
    const yes = (this.value(token) as Question).ask(event)
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

function isText(value: Value, text: string, length: number, kind: TokenKind): boolean {
  if (typeof value !== 'string' || value.length !== length) return false
  if (kind === tokenKinds.prefix || kind === tokenKinds.foldedPrefix) return text.startsWith(value)
  if (kind === tokenKinds.suffix || kind === tokenKinds.foldedSuffix) return text.endsWith(value)
  return text === value
}

/** A text of its own: a piece of a parsed text would keep the whole of it in memory. */
function ownCopy(text: string): string {
  const encoding = /^[\0-\xff]*$/.test(text) ? 'latin1' : 'utf16le'
  return Buffer.from(text, encoding).toString(encoding)
}
