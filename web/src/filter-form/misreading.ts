import { PulseError } from '../api/api.ts'

/** Why the server could not read a filter, and where in it that is. */
export interface Misreading {
  /** A sentence without its place. */
  readonly text: string
  /** Character of the expression, from 0. */
  readonly at: number | undefined
  /** JSON Pointer into the pattern or the simple form; '' for the whole. */
  readonly pointer: string
}

const place = /\s*\((?:at )?character (\d+)\)/g

/** Reads a refusal of the server; undefined if the failure is another one. */
export function misreadingOf(error: unknown): Misreading | undefined {
  if (!(error instanceof PulseError)) return undefined
  if (error.code !== 'invalid_filter' && error.code !== 'filter_too_wide') return undefined
  const [first] = error.errors
  const said = first?.detail ?? error.detail
  const places = [...said.matchAll(place)]
  const at = places.at(-1)?.[1]
  const text = said.replace(place, '').trim()
  return {
    text: `${text.charAt(0).toUpperCase()}${text.slice(1)}${/[.!?]$/.test(text) ? '' : '.'}`,
    at: at === undefined ? undefined : Number(at) - 1,
    pointer: (first?.pointer ?? '').replace(/^\/condition/, '').replace(/^\/(?:pattern|expression)/, ''),
  }
}

/** A text cut at the piece that is wrong: a word, a text in quotes as far as its space, or one sign. */
export interface Marked {
  readonly before: string
  readonly wrong: string
  readonly after: string
}

/** Cuts an expression where it could not be read; `wrong` is empty where it ends too early. */
export function markAt(text: string, at: number): Marked {
  const from = Math.min(Math.max(0, at), text.length)
  const wrong = /^(?:[\p{L}\p{N}_$@.-]+|\S)/u.exec(text.slice(from))?.[0] ?? ''
  return { before: text.slice(0, from), wrong, after: text.slice(from + wrong.length) }
}
