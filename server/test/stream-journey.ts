import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { eventually } from '@pulse/dev/services/eventually'
import { databaseUrlOf } from '@pulse/dev/services/pulse'
import { openPostgresLog } from '@pulse/log/postgres'
import { parsePosition } from '@pulse/protocol/position'
import { formatStreamPosition, parseStreamPosition } from '@pulse/protocol/stream-position'
import pg from 'pg'
import { type Journey, startJourney } from './journey.ts'
import { FrameReader } from './stream-client.ts'

/** A journey with what those of streams have in common. */
export interface StreamJourney extends Journey {
  /** Makes a subscriber with this filter; returns its name. */
  subscriber(condition: Readonly<Record<string, unknown>>): Promise<string>
  /** Posts events in one batch, each of which must be accepted; returns their receipts. */
  post(events: readonly object[]): Promise<readonly { readonly position: string }[]>
  /** Waits until so many streams of a subscriber are served, and all of them live: 1 if not said otherwise. */
  live(subscriber: string, count?: number): Promise<void>
  /** Position of the end of the log as it is now. */
  end(): Promise<string>
  /** A key with these scopes, bound to subscribers if a pattern is given. */
  key(scopes: readonly string[], subscribers?: string): Promise<{ id: string; key: string }>
  /** A token of a subscriber. */
  token(sub: string, more?: Readonly<Record<string, unknown>>): Promise<{ id: string; token: string }>
}

/** Starts a server for streams. */
export async function openStreamJourney(
  settings: Readonly<Record<string, string>> = {},
): Promise<StreamJourney> {
  const journey = await startJourney(settings)
  const { call } = journey
  const made = async <T>(path: string, body: object): Promise<T> => {
    const answer = await call('POST', path, body)
    assert.ok(answer.status < 300, `${path}: ${answer.status} ${JSON.stringify(answer.body)}`)
    return answer.body as unknown as T
  }
  const subscriber = async (condition: Readonly<Record<string, unknown>>) => {
    const subscriber_id = `sub_${randomUUID()}`
    await made('/filters', { subscriber_id, ...condition })
    return subscriber_id
  }
  let watcher: string | undefined
  return {
    ...journey,
    subscriber,
    post: async (events) => {
      const { body } = await call('POST', '/events', events)
      assert.equal(body.accepted, events.length, JSON.stringify(body).slice(0, 500))
      return body.results.map(({ receipt }) => receipt)
    },
    live: async (name, count = 1) => {
      const look = async () => {
        const { data } = (await call('GET', `/streams?subscriber=${name}`)).body
        return data.length === count && data.every(({ state }) => state === 'live') ? true : undefined
      }
      await eventually(`${count} live streams of ${name}`, look, 10_000)
    },
    end: async () => {
      watcher ??= await subscriber({ event_types: [] })
      // The greeting says where the feed stands; it may lag behind what was just posted, a ping after an event may not.
      const marker = randomUUID()
      await using reader = await FrameReader.open(journey.server, watcher, {
        first: { filter: { expression: `properties.marker = "${marker}"` } },
      })
      const partitions = Array.from({ length: 64 }, (_, n) => ({
        ...{ event_type: 'end.marked', user_id: `marker_${n}`, properties: { marker } },
      }))
      await made('/events', partitions)
      await reader.count(partitions.length)
      return reader.position
    },
    key: (scopes, subscribers) =>
      made('/admin/keys', { name: 'streams', scopes, ...(subscribers && { subscribers }) }),
    token: (sub, more = {}) => made('/auth/tokens', { sub, scopes: ['stream:read'], ...more }),
  }
}

/** The value of one series in the text of `/metrics`; 0 if it is not there yet. */
export function metric(text: string, name: string, labels: Readonly<Record<string, string>> = {}): number {
  for (const line of text.split('\n')) {
    const [, series, inside = '', value] = /^(\w+)(?:\{(.*)\})? (\S+)/.exec(line) ?? []
    if (series !== name) continue
    if (Object.entries(labels).every(([label, text]) => inside.includes(`${label}="${text}"`)))
      return Number(value)
  }
  return 0
}

/** The same place in the log's life before this one, as after a restore. */
export const ofAnotherLog = (position: string) =>
  formatStreamPosition((parseStreamPosition(position) ?? []).map((one) => ({ ...one, epoch: one.epoch + 1 })))

/** Forgets what lies below a position, as retention does in time. */
export async function trimTo({ server }: StreamJourney, position: string): Promise<void> {
  const connection = { connectionString: await databaseUrlOf(server.data) }
  await using log = await openPostgresLog({ connection, durability: 'disk' })
  for (const { topic, offsets } of parseStreamPosition(position) ?? []) await log.trim(topic, offsets)
}

/** Makes the server that starts next over this data folder find that its database has begun another life, as after a restore. */
export async function restoreAtNextStart(data: string): Promise<void> {
  const databaseUrl = await databaseUrlOf(data)
  assert.equal(await changeRows(databaseUrl, 'update pulse.log_identity set timeline = timeline + 1'), 1)
}

/** Damages the batch that an event stands in. */
export async function damageBatch(databaseUrl: string, position: string): Promise<void> {
  const place = parsePosition(position)
  const [first] = place?.offsets ?? []
  assert.ok(place && first)
  const rows = await changeRows(
    databaseUrl,
    `update pulse.log_batches
     set bytes = set_byte(bytes, octet_length(bytes) - 1, get_byte(bytes, octet_length(bytes) - 1) # 255)
     where topic = (select id from pulse.log_topics where name = $1)
       and partition = $2 and base_offset <= $3 and last_offset >= $3`,
    [place.topic, ...first],
  )
  assert.equal(rows, 1)
}

/** Changes rows past the server; returns how many. Rejects with PostgreSQL's error. */
export async function changeRows(databaseUrl: string, text: string, values: readonly unknown[] = []) {
  const client = new pg.Client({ connectionString: databaseUrl })
  await client.connect()
  try {
    return (await client.query(text, [...values])).rowCount
  } finally {
    await client.end()
  }
}
