import { isUtf8 } from 'node:buffer'
import type { IncomingHttpHeaders } from 'node:http'
import { type CloudEventFault, cloudEventOfHeaders, fromCloudEvent } from '@pulse/protocol/cloudevents'
import { limits } from '@pulse/protocol/limits'
import type { InvalidMember } from '@pulse/protocol/receipt'
import { ProblemError } from '../http/problem-error.ts'
import { countMembers, scanJson } from './json-scan.ts'
import { uuidNamespaceUrl, uuidV5 } from './uuid-v5.ts'
import { parseWithWideNumbers } from './wide-numbers.ts'

/** One event as it came: a parsed value, or what is wrong with it already. */
export type Item =
  | {
      readonly value: unknown
      /** Its text has what may be no good (`\u`, `__proto__`, wide numbers): every value has to be looked at. */
      readonly suspect: boolean
    }
  | { readonly errors: readonly InvalidMember[] }

/** What a request submits. A single event is answered by itself, a batch by a list. */
export interface Submission {
  readonly batch: boolean
  readonly items: readonly Item[]
}

const ndjsonTypes = new Set(['application/x-ndjson', 'application/ndjson', 'application/jsonl'])

/**
 * Reads the body of `POST /events` by its content type: JSON (one event or an array), NDJSON, CloudEvents in
 * structured, batched and binary mode. A line of NDJSON that is damaged spoils only itself; a JSON text that cannot
 * be parsed, nests too deep or names a member twice is refused whole, because nobody knows what was meant.
 * Throws ProblemError.
 */
export function readSubmission(
  body: Buffer | undefined,
  headers: IncomingHttpHeaders,
  batchEventsMax: number,
): Submission {
  const type = (headers['content-type'] ?? 'application/json').split(';', 1)[0]?.trim().toLowerCase() ?? ''
  const bytes = body ?? Buffer.alloc(0)
  if (headers['ce-specversion'] !== undefined && !type.startsWith('application/cloudevents'))
    return { batch: false, items: [binaryCloudEvent(bytes, type, headers)] }
  if (!isUtf8(bytes)) throw new ProblemError('invalid_encoding', 'The body is not valid UTF-8.')
  if (ndjsonTypes.has(type)) return batchOf(linesOf(bytes), batchEventsMax)
  const cloud = type === 'application/cloudevents+json' || type === 'application/cloudevents-batch+json'
  if (!cloud && type !== 'application/json')
    throw new ProblemError('unsupported_media_type', `Events cannot be read from ${type}.`)
  const { value, suspect } = parse(bytes)
  if (type === 'application/cloudevents-batch+json' && !Array.isArray(value))
    throw new ProblemError('invalid_request', 'A batch of CloudEvents is a JSON array.')
  const itemOf = (each: unknown): Item => (cloud ? mapped(each, suspect) : { value: each, suspect })
  if (Array.isArray(value) && type !== 'application/cloudevents+json')
    return batchOf(value.map(itemOf), batchEventsMax)
  return { batch: false, items: [itemOf(value)] }
}

function batchOf(items: readonly Item[], batchEventsMax: number): Submission {
  if (items.length === 0) throw new ProblemError('invalid_request', 'The batch is empty.')
  if (items.length > batchEventsMax)
    throw new ProblemError(
      'payload_too_large',
      `A batch may hold ${batchEventsMax} events; this one holds ${items.length}.`,
    )
  return { batch: true, items }
}

function parse(bytes: Buffer): { value: unknown; suspect: boolean } {
  const scan = scanJson(bytes)
  const text = bytes.toString('utf8')
  const array = /^\s*\[/.test(text.slice(0, 64))
  if (scan.depth > limits.depthMax + (array ? 1 : 0))
    throw new ProblemError('invalid_json', `The JSON nests deeper than ${limits.depthMax} levels.`)
  let value: unknown
  try {
    value = scan.wideNumbers ? parseWithWideNumbers(text) : JSON.parse(text)
  } catch (error) {
    throw new ProblemError(
      'invalid_json',
      bytes.length === 0 ? 'The body is empty.' : (error as Error).message,
    )
  }
  if (countMembers(value) !== scan.members)
    throw new ProblemError('invalid_json', 'An object names the same member twice.')
  return { value, suspect: scan.escapes || scan.underscores || scan.wideNumbers }
}

function linesOf(bytes: Buffer): Item[] {
  const items: Item[] = []
  for (let from = 0; from < bytes.length; ) {
    const newline = bytes.indexOf(0x0a, from)
    const to = newline === -1 ? bytes.length : newline
    const line = bytes.subarray(from, to)
    from = to + 1
    if (isBlank(line)) continue
    try {
      items.push(parse(line))
    } catch (error) {
      items.push({ errors: [{ pointer: '', detail: (error as Error).message }] })
    }
  }
  return items
}

function isBlank(line: Buffer): boolean {
  for (const byte of line) if (byte !== 0x20 && byte !== 0x0d && byte !== 0x09) return false
  return true
}

const uuidOf = (name: string) => uuidV5(uuidNamespaceUrl, name)

function mapped(value: unknown, suspect: boolean): Item {
  const result = fromCloudEvent(value, uuidOf)
  return 'event' in result
    ? { value: result.event, suspect }
    : { errors: result.faults satisfies CloudEventFault[] }
}

function binaryCloudEvent(bytes: Buffer, type: string, headers: IncomingHttpHeaders): Item {
  if (bytes.length === 0) return mapped(cloudEventOfHeaders(headers, undefined), false)
  if (!/[/+]json$/.test(type))
    return mapped(cloudEventOfHeaders(headers, { base64: bytes.toString('base64') }), false)
  if (!isUtf8(bytes)) throw new ProblemError('invalid_encoding', 'The body is not valid UTF-8.')
  const { value, suspect } = parse(bytes)
  return mapped(cloudEventOfHeaders(headers, { data: value }), suspect)
}
