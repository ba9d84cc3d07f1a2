import { hash, randomUUID } from 'node:crypto'
import type { NewRecord } from '@pulse/log'
import { controlPrefix, isControlType } from '@pulse/log/control-record'
import { canonicalJson } from '@pulse/protocol/canonical-json'
import { eventTypePattern, type SubmittedEvent, submittedEventSchema } from '@pulse/protocol/event'
import { createInstantWriter, millisOf, parseInstant } from '@pulse/protocol/instant'
import { limits as wireLimits } from '@pulse/protocol/limits'
import type { InvalidMember } from '@pulse/protocol/receipt'
import type { Schemas } from '../schemas/schemas.ts'
import { wideNumber } from './wide-numbers.ts'

export interface ReaderLimits {
  readonly eventBytesMax: number
  readonly futureSkewSecondsMax: number
}

/** Where a submitted value came from. */
export interface Origin {
  /** Microseconds since 1970: when the request arrived. */
  readonly receivedAt: number
  /** True if the text has what may be no good, so that every value must be looked at (see `Item`). */
  readonly suspect: boolean
  /** Id for an event that has none, when the request is named by an Idempotency-Key; else the server makes one. */
  readonly idWithout?: (index: number) => string
}

/** One submitted event, either ready for the log or with all that is wrong in it. */
export type Reading =
  | { readonly ok: true; readonly record: NewRecord; readonly sha256: string }
  | { readonly ok: false; readonly eventId: string | null; readonly errors: readonly InvalidMember[] }

/**
 * Makes the function that turns a parsed JSON value into a record for the log. The record's value is the
 * whole event as JSON; its fingerprint is taken from the canonical JSON of what was submitted, before
 * defaults, so the same submission is recognised however it is spelled.
 */
export function createEventReader(needs: { limits: ReaderLimits; schemas: Schemas }) {
  const { limits, schemas } = needs

  const instant = createInstantWriter()
  const latest = createInstantWriter()
  const skewMicros = limits.futureSkewSecondsMax * 1_000_000

  return function read(value: unknown, index: number, origin: Origin): Reading {
    const errors = faultsOf(value, origin, schemas)
    if (errors.length > 0) return { ok: false, eventId: idOf(value), errors }
    const event = value as SubmittedEvent
    const timestamp =
      event.timestamp === undefined ? instant(origin.receivedAt) : (parseInstant(event.timestamp) ?? '')
    const properties = event.properties === undefined ? '{}' : canonicalJson(event.properties)
    const canonical = canonicalOf(event, event.properties === undefined ? undefined : properties)
    const refused = refusalOf(
      { timestamp, canonical, latest: latest(origin.receivedAt + skewMicros) },
      origin,
      limits,
    )
    if (refused) return { ok: false, eventId: idOf(value), errors: [refused] }
    const sha256 = hash('sha256', canonical)
    const given = event.event_id?.toLowerCase() ?? origin.idWithout?.(index)
    const id = given ?? randomUUID()
    const user = event.user_id ?? null
    const key = schemas.keyOf({
      event_id: id,
      event_type: event.event_type,
      user_id: user,
      properties: event.properties ?? {},
    })
    return {
      ok: true,
      sha256,
      record: {
        topic: schemas.topicOf(event.event_type),
        key,
        type: event.event_type,
        value: flat(envelopeOf(event, { id, user, timestamp, properties })),
        receivedAt: origin.receivedAt,
        id,
        ...(given === undefined ? {} : { fingerprint: sha256.slice(0, 32) }),
      },
    }
  }
}

/** All that is wrong with a parsed value, beside its size and time. */
function faultsOf(value: unknown, origin: Origin, schemas: Schemas): InvalidMember[] {
  const errors = isPlainlyValid(value) ? [] : schemaFaults(value)
  if (errors.length > 0) return errors
  const event = value as SubmittedEvent
  if (event.properties !== undefined && countOf(event.properties) > wireLimits.propertiesMax)
    errors.push({ pointer: '/properties', detail: `must have at most ${wireLimits.propertiesMax} members` })
  if (isControlType(event.event_type))
    errors.push({
      pointer: '/event_type',
      detail: `must not begin with ${controlPrefix}: such types are reserved for the server`,
    })
  else if (!schemas.accepts(event.event_type))
    errors.push({
      pointer: '/event_type',
      detail: 'is not declared, and this server takes declared types only',
    })
  if (origin.suspect) findBadValues(event, '', errors)
  return errors
}

function countOf(properties: object): number {
  let count = 0
  for (const _ in properties) count++
  return count
}

/** Refuses what is too large or too far in the future. */
function refusalOf(
  read: { timestamp: string; canonical: string; latest: string },
  origin: Origin,
  limits: ReaderLimits,
): InvalidMember | undefined {
  // Instants sort as they count.
  if (read.timestamp > read.latest) {
    const aheadSeconds = Math.round(millisOf(read.timestamp) / 1000 - origin.receivedAt / 1_000_000)
    return {
      pointer: '/timestamp',
      detail: `is ${aheadSeconds} s in the future; ${limits.futureSkewSecondsMax} s are allowed`,
    }
  }
  // A UTF-16 unit is at most three bytes of UTF-8: most events need not be counted.
  if (
    read.canonical.length * 3 > limits.eventBytesMax &&
    Buffer.byteLength(read.canonical) > limits.eventBytesMax
  )
    return { pointer: '', detail: `must be at most ${limits.eventBytesMax} bytes as JSON` }
  return undefined
}

const idOf = (value: unknown): string | null => {
  const id = (value as { event_id?: unknown } | null)?.event_id
  return typeof id === 'string' ? id.slice(0, 64) : null
}

const uuid = /^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$/
const memberNames = new Set([
  'event_id',
  'event_type',
  'user_id',
  'timestamp',
  'properties',
  'source',
  'schema_version',
])

/**
 * The schema of a submitted event as plain code: true only for what the schema accepts (a property test holds the
 * two together). It may say false for something valid; the schema then decides.
 */
export function isPlainlyValid(value: unknown): boolean {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false
  for (const name in value) if (!memberNames.has(name)) return false
  const { event_id, event_type, user_id, timestamp, properties, source, schema_version } = value as Record<
    string,
    unknown
  >
  if (typeof event_type !== 'string' || event_type.length > wireLimits.eventTypeCharsMax) return false
  if (!eventTypePattern.test(event_type)) return false
  if (event_id !== undefined && (typeof event_id !== 'string' || !uuid.test(event_id))) return false
  if (user_id !== undefined && (typeof user_id !== 'string' || user_id.length > wireLimits.userIdCharsMax))
    return false
  if (timestamp !== undefined && (typeof timestamp !== 'string' || parseInstant(timestamp) === undefined))
    return false
  if (
    properties !== undefined &&
    (typeof properties !== 'object' || properties === null || Array.isArray(properties))
  )
    return false
  return source === undefined && schema_version === undefined
}

/** All that the schema has against a value, by JSON Pointer. */
function schemaFaults(value: unknown): InvalidMember[] {
  const result = submittedEventSchema.safeParse(value)
  if (result.success) return []
  return result.error.issues.flatMap((issue) => {
    const pointer = issue.path.map((part) => `/${escapePointer(String(part))}`).join('')
    if (issue.code === 'unrecognized_keys')
      return issue.keys.map((key) => ({
        pointer: `${pointer}/${escapePointer(key)}`,
        detail: 'is not a member of an event; put it into properties',
      }))
    return [{ pointer, detail: issue.message }]
  })
}

const escapePointer = (part: string) => part.replaceAll('~', '~0').replaceAll('/', '~1')

function findBadValues(value: unknown, pointer: string, errors: InvalidMember[]): void {
  if (typeof value === 'string') {
    if (value.includes('\0')) errors.push({ pointer, detail: 'must not contain the character NUL' })
    else if (!value.isWellFormed()) errors.push({ pointer, detail: 'must not contain half a surrogate pair' })
  } else if (value === wideNumber)
    errors.push({ pointer, detail: 'is a number that would change when it is kept; send it as a string' })
  else if (typeof value === 'object' && value !== null)
    for (const [key, each] of Object.entries(value)) {
      const at = `${pointer}/${escapePointer(key)}`
      // Harmless here, but a trap for whoever copies the properties onto an object.
      if (key === '__proto__') errors.push({ pointer: at, detail: 'is not allowed as a name' })
      findBadValues(key, at, errors)
      findBadValues(each, at, errors)
    }
}

/** `canonicalJson(event)`, built around the canonical properties that are needed anyway. */
export function canonicalOf(event: SubmittedEvent, properties: string | undefined): string {
  let text = event.event_id === undefined ? '{' : `{"event_id":"${event.event_id}",`
  text += `"event_type":"${event.event_type}"`
  if (properties !== undefined) text += `,"properties":${properties}`
  if (event.schema_version !== undefined) text += `,"schema_version":${event.schema_version}`
  if (event.source !== undefined) text += `,"source":${JSON.stringify(event.source)}`
  if (event.timestamp !== undefined) text += `,"timestamp":"${event.timestamp}"`
  if (event.user_id !== undefined) text += `,"user_id":${JSON.stringify(event.user_id)}`
  return `${text}}`
}

/**
 * The same text in one piece. V8 keeps a text that was put together as a tree of its parts until somebody looks into it;
 * thousands of such trees that wait for the disk are what the collector would copy.
 */
function flat(text: string): string {
  text.charCodeAt(0)
  return text
}

function envelopeOf(
  event: SubmittedEvent,
  read: { id: string; user: string | null; timestamp: string; properties: string },
): string {
  return `{"event_id":"${read.id}","event_type":"${event.event_type}","user_id":${
    read.user === null ? 'null' : JSON.stringify(read.user)
  },"timestamp":"${read.timestamp}","properties":${read.properties},"source":${
    event.source ? JSON.stringify(event.source) : 'null'
  },"schema_version":${event.schema_version ?? 1}}`
}
