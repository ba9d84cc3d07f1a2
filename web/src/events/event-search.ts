import type { EventQuery } from '@pulse/client'
import { type EventState, eventStates } from './event-states.ts'

/**
 * The query as it stands in the page's address; members are called as in the API, so that an address reads like
 * a request. `last` is a span up to now (`15m`, `1h`, `24h`, `7d`) in place of `from` and `to`.
 */
export interface EventSearch {
  readonly event_type?: string
  readonly user_id?: string
  readonly status?: EventState
  readonly from?: string
  readonly to?: string
  readonly last?: string
  readonly cursor?: string
  readonly [property: `properties.${string}`]: string | undefined
}

const texts = ['event_type', 'user_id', 'from', 'to', 'last', 'cursor'] as const

const spanMs: Readonly<Record<string, number>> = {
  '15m': 900_000,
  '1h': 3_600_000,
  '24h': 86_400_000,
  '7d': 604_800_000,
}

const isState = (value: unknown): value is EventState => (eventStates as readonly unknown[]).includes(value)

/** Reads an address. What it does not know, or what is empty, is left out: an old link still opens. */
export function readEventSearch(raw: Readonly<Record<string, unknown>>): EventSearch {
  const search: Record<string, string> = {}
  for (const name of texts) {
    const value = raw[name]
    if (typeof value === 'string' && value !== '') search[name] = value
  }
  if (isState(raw.status)) search.status = raw.status
  for (const [name, value] of Object.entries(raw))
    if (name.startsWith('properties.') && name.length > 11 && typeof value === 'string' && value !== '')
      search[name] = value
  return search as EventSearch
}

/** The property filters of an address, names without their prefix. */
export function propertiesOf(search: EventSearch): Readonly<Record<string, string>> {
  const properties: Record<string, string> = {}
  for (const [name, value] of Object.entries(search))
    if (name.startsWith('properties.') && typeof value === 'string') properties[name.slice(11)] = value
  return properties
}

/** True if the address asks for less than everything. */
export function isFiltered({ cursor: _, ...search }: EventSearch): boolean {
  return Object.keys(search).length > 0
}

/** The span in words, written out as an instant: what "the last hour" means at `nowMs`. */
export function freeze(search: EventSearch, nowMs: number): EventSearch {
  const { last, ...rest } = search
  const span = last === undefined ? undefined : spanMs[last]
  if (span === undefined) return rest
  const from = new Date(nowMs - span).toISOString()
  // A property may be asked for only within a bounded span. Otherwise the end stays open, so that an event is seen
  // also when this browser's clock is behind the server's.
  const bounded = Object.keys(propertiesOf(search)).length > 0
  return bounded ? { ...rest, from, to: new Date(nowMs).toISOString() } : { ...rest, from }
}

/** What to ask the server for an address, as of `nowMs`. */
export function toEventQuery(search: EventSearch, nowMs: number, limit: number): EventQuery {
  const { event_type, user_id, status, from, to, cursor } = freeze(search, nowMs)
  const properties = propertiesOf(search)
  return {
    event_type,
    user_id,
    status,
    from,
    to,
    cursor,
    limit,
    ...(Object.keys(properties).length > 0 ? { properties } : {}),
  }
}

/** The same request for a terminal; the key is read from the data folder. */
export function toCurl(origin: string, search: EventSearch, nowMs: number, limit: number): string {
  const { properties, ...rest } = toEventQuery(search, nowMs, limit)
  const query = new URLSearchParams()
  for (const [name, value] of Object.entries(rest)) if (value !== undefined) query.append(name, String(value))
  for (const [name, value] of Object.entries(properties ?? {}))
    query.append(`properties.${name}`, String(value))
  // An apostrophe would end the shell's quotes; URLSearchParams leaves it as it is.
  const address = `${origin}/events?${query.toString().replaceAll("'", '%27')}`
  return `curl '${address}' -H "Authorization: Bearer $(cat pulse-data/key)"`
}

/** An instant as `datetime-local` wants it, in the reader's time zone, to the second; empty for none. */
export function toLocalInput(instant: string | undefined): string {
  if (instant === undefined) return ''
  const at = new Date(instant)
  if (Number.isNaN(at.getTime())) return ''
  return new Date(at.getTime() - at.getTimezoneOffset() * 60_000).toISOString().slice(0, 19)
}

/** The instant that somebody put into a `datetime-local`; undefined for none. */
export function fromLocalInput(text: string): string | undefined {
  const at = new Date(text)
  return text === '' || Number.isNaN(at.getTime()) ? undefined : at.toISOString()
}
