import { setTimeout as pause } from 'node:timers/promises'
import { type Client, PulseError, type Subscription } from '@pulse/client'
import { parseStreamPosition } from '@pulse/protocol/stream-position'
import { percentile } from '../bench/statistics.ts'
import { type FlightWish, filterOf, flightType, sqlOf } from './flight-wishes.ts'
import type { ServerDatabase } from './server-database.ts'

/** A subscriber of the story, with what came to it. */
interface Watcher {
  readonly subscriber: string
  readonly wish: FlightWish
  readonly stream: Subscription
  readonly got: Arrival[]
  gaps: number
}

interface Arrival {
  readonly eventId: string
  readonly partition: number
  readonly offset: number
  /** Milliseconds since 1970. */
  readonly atMs: number
}

/** What came, compared with what the rows of the database say. */
export interface Comparison {
  readonly subscribers: number
  /** Rows of the run. */
  readonly flights: number
  /** Deliveries that the rows ask for, and those that there were. */
  readonly expected: number
  readonly received: number
  readonly missing: number
  readonly unexpected: number
  readonly twice: number
  /** Deliveries behind a later one of their partition. */
  readonly out_of_order: number
  readonly gaps: number
  /** Subscribers for which nothing at all was expected: their filters prove little. */
  readonly idle_subscribers: number
  /** From when the server kept an event to its arrival, in milliseconds; null without any. */
  readonly latency_ms: { readonly p50: number; readonly p95: number; readonly p99: number } | null
}

export interface Watching extends AsyncDisposable {
  /** Waits until every stream has come to the end of the log as of now, and compares. Rejects after `msMax`. */
  compare(database: ServerDatabase, source: string, msMax: number): Promise<Comparison>
}

const inFlightMax = 16

export interface FlightWatchNeeds {
  readonly client: Client
  readonly wishes: readonly FlightWish[]
  /** What the names of the subscribers begin with. */
  readonly prefix: string
  readonly signal: AbortSignal
}

/**
 * Stores a filter for each wish, opens a stream for each over the SDK, and resolves once all of them are live. Disposing
 * removes the filters; so does a failure, or an interruption, on the way there.
 */
export async function watchFlights(needs: FlightWatchNeeds): Promise<Watching> {
  const { client, wishes, prefix, signal } = needs
  await using opened = new AsyncDisposableStack()
  const subscribers = wishes.map((wish, n) => ({ n, wish, subscriber: `${prefix}-${n}` }))
  // A run has names of its own: without this each would leave as many filters as it has subscribers.
  opened.defer(() => eachOf(subscribers, ({ subscriber }) => removeFilter(client, subscriber)))
  await eachOf(subscribers, async ({ n, wish, subscriber }) => {
    signal.throwIfAborted()
    await client.filters.create({ subscriber_id: subscriber, ...filterOf(wish, n) })
  })
  const watchers = subscribers.map(({ subscriber, wish }) => watch(client, subscriber, wish))
  for (const { stream } of watchers) opened.use(stream)
  await until('all streams are live', { msMax: 60_000, signal }, () =>
    watchers.every(({ stream }) => stream.connection.kind === 'live'),
  )
  const parts = opened.move()
  return {
    compare: async (database, source, msMax) => {
      const end = await client.streams.positionAt(new Date(Date.now() + 3_600_000).toISOString())
      await until('all streams have come to the end of the log', { msMax, signal }, () =>
        watchers.every(({ stream }) => reaches(stream.position, end)),
      )
      return await compareAll(watchers, database, source)
    },
    [Symbol.asyncDispose]: () => parts.disposeAsync(),
  }
}

async function removeFilter(client: Client, subscriber: string): Promise<void> {
  try {
    await client.filters.remove(subscriber, 'default')
  } catch (error) {
    // Not stored yet when the story ended.
    if (!(error instanceof PulseError) || error.code !== 'not_found') throw error
  }
}

/** Does something for each, some at a time. After a failure no more are begun; throws it once none is under way. */
async function eachOf<Item>(items: readonly Item[], act: (item: Item) => Promise<void>): Promise<void> {
  const left = items.toReversed()
  const work = async () => {
    for (let next = left.pop(); next !== undefined; next = left.pop())
      await act(next).catch((error: unknown) => {
        left.length = 0
        throw error
      })
  }
  const ends = await Promise.allSettled(Array.from({ length: inFlightMax }, work))
  for (const end of ends) if (end.status === 'rejected') throw end.reason
}

function watch(client: Client, subscriber: string, wish: FlightWish): Watcher {
  const got: Arrival[] = []
  const stream = client.subscribe({
    subscriber,
    onEvent: ({ event, partition, offset }) =>
      got.push({
        eventId: event.event_id,
        partition,
        offset,
        atMs: performance.timeOrigin + performance.now(),
      }),
    onGap: () => {
      watcher.gaps++
    },
  })
  const watcher = { subscriber, wish, stream, got, gaps: 0 }
  return watcher
}

async function until(
  what: string,
  { msMax, signal }: { readonly msMax: number; readonly signal: AbortSignal },
  holds: () => boolean,
): Promise<void> {
  const deadline = performance.now() + msMax
  while (!holds()) {
    signal.throwIfAborted()
    if (performance.now() > deadline) throw new Error(`not within ${msMax / 1000} s: ${what}`)
    await pause(50)
  }
}

/** Whether a stream has come at least as far as `end` everywhere. */
function reaches(position: string | undefined, end: string): boolean {
  const places = new Map(
    (parseStreamPosition(position ?? '') ?? []).map(({ topic, offsets }) => [topic, offsets]),
  )
  return (parseStreamPosition(end) ?? []).every(({ topic, offsets }) =>
    [...offsets].every(([partition, offset]) => (places.get(topic)?.get(partition) ?? -1) >= offset),
  )
}

async function compareAll(
  watchers: readonly Watcher[],
  database: ServerDatabase,
  source: string,
): Promise<Comparison> {
  const rows = await database.query<{ event_id: string; received_ms: number }>(
    'select event_id, extract(epoch from received_at)::float8 * 1000 received_ms from pulse.events where event_type = $1 and source = $2',
    [flightType, source],
  )
  const receivedMs = new Map(rows.map((row) => [row.event_id, row.received_ms]))
  const sums = { expected: 0, received: 0, missing: 0, unexpected: 0, twice: 0, out_of_order: 0, gaps: 0 }
  const latencies: number[] = []
  let idle = 0
  for (const watcher of watchers) {
    const { where, values } = sqlOf(watcher.wish)
    const wanted = await database.query<{ event_id: string }>(
      `select event_id from pulse.events where ${where}`,
      [flightType, source, ...values],
    )
    const found = compareOne(watcher, new Set(wanted.map(({ event_id }) => event_id)))
    for (const name of Object.keys(sums) as (keyof typeof sums)[]) sums[name] += found[name]
    if (found.expected === 0) idle++
    for (const { eventId, atMs } of watcher.got)
      latencies.push(atMs - (receivedMs.get(eventId) ?? Number.NaN))
  }
  const latency_ms = percentilesOf(latencies.filter((ms) => !Number.isNaN(ms)))
  return { subscribers: watchers.length, flights: rows.length, ...sums, idle_subscribers: idle, latency_ms }
}

function compareOne({ got, gaps }: Watcher, wanted: ReadonlySet<string>) {
  const ids = new Set(got.map(({ eventId }) => eventId))
  const last = new Map<number, number>()
  let out_of_order = 0
  for (const { partition, offset } of got) {
    if (offset <= (last.get(partition) ?? -1)) out_of_order++
    last.set(partition, Math.max(offset, last.get(partition) ?? -1))
  }
  return {
    expected: wanted.size,
    received: got.length,
    missing: [...wanted].filter((id) => !ids.has(id)).length,
    unexpected: [...ids].filter((id) => !wanted.has(id)).length,
    twice: got.length - ids.size,
    out_of_order,
    gaps,
  }
}

function percentilesOf(values: readonly number[]): Comparison['latency_ms'] {
  if (values.length === 0) return null
  return { p50: percentile(values, 50), p95: percentile(values, 95), p99: percentile(values, 99) }
}
