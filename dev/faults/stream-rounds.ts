import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { startPulse } from '../services/pulse.ts'
import { type AuditedRow, compare, type Findings, readRows, untilQuiet } from './audit.ts'
import type { FaultReport, RoundOptions } from './fault-report.ts'
import { Ledger, produce } from './ledger.ts'
import { randomOf } from './random.ts'
import { type FollowedTransport, type Following, follow, transports } from './stream-follower.ts'

const caughtUpMsMax = 60_000

/** Subscribers' filters, and in plain code what they ask for. */
const wants: readonly { readonly expression: string; readonly accepts: (row: AuditedRow) => boolean }[] = [
  { expression: 'event_type = "custom"', accepts: () => true },
  { expression: 'user_id = "key-1"', accepts: ({ user_id }) => user_id === 'key-1' },
  {
    expression: 'user_id = "key-2" and properties.n >= 100',
    accepts: ({ user_id, properties }) => user_id === 'key-2' && properties.n >= 100,
  },
]

/** What one subscriber over one transport should have received, and what it has. */
export interface Follower {
  readonly name: string
  readonly accepts: (row: AuditedRow) => boolean
  readonly following: Following
}

/**
 * kill -9 of the server with subscribers attached, again and again under load: over sockets with frames, plain sockets
 * and event streams, each of which comes back with the last position that it was told. What each has received is compared
 * with the rows that the API shows. Recovery is the start of the process to `/readyz` 200.
 */
export async function streamRounds(options: RoundOptions): Promise<FaultReport> {
  const random = randomOf(options.seed)
  const data = await mkdtemp(join(tmpdir(), 'pulse-streams-'))
  const ledger = new Ledger()
  const producing = new AbortController()
  const following = new AbortController()
  const world = { server: await startPulse(data, settings) }
  try {
    const target = { url: () => world.server.url, key: world.server.key }
    const followers = await followAll(target, following.signal)
    const producers = Array.from({ length: 4 }, (_, n) =>
      produce(target, ledger, { key: `key-${n}`, batch: 20, random, signal: producing.signal }),
    )
    const recoveryMs: number[] = []
    for (let round = 0; round < options.rounds; round++) {
      await pause(300 + random() * 1_500)
      await world.server.kill()
      world.server = await startPulse(data, settings)
      recoveryMs.push(world.server.readyMs)
      const received = followers.reduce((sum, { following: { ids } }) => sum + ids.length, 0)
      options.tell?.(
        `round ${round + 1}: ready after ${Math.round(world.server.readyMs)} ms, ${received} received`,
      )
    }
    await pause(300)
    producing.abort()
    await Promise.all(producers)
    await untilQuiet(world.server)
    const rows = await readRows(world.server)
    await untilCaughtUp(followers, rows)
    const findings = compareStreams(followers, rows, compare(rows, ledger))
    return { name: 'subscribers', options, ledger, findings, recoveryMs }
  } catch (cause) {
    const said = world.server.log().slice(-4_000)
    throw new Error(`subscribers, seed ${options.seed}: the server's last lines:\n${said}`, { cause })
  } finally {
    producing.abort()
    following.abort()
    await world.server.stop()
    await rm(data, { recursive: true, force: true, maxRetries: 5 })
  }
}

// Every subscriber comes back within moments after each kill, all with one key.
const settings = { RATE_LIMIT_KEY: '' }

type Target = { readonly url: () => string; readonly key: string }

async function followAll(target: Target, signal: AbortSignal): Promise<Follower[]> {
  const followers: Follower[] = []
  const position = await currentPosition(target)
  for (const [n, { expression, accepts }] of wants.entries()) {
    const subscriber = `follower_${n}`
    await post(target, '/filters', { subscriber_id: subscriber, expression })
    for (const transport of transports) {
      const following: Following = { ids: [], wrong: [], connections: 0, position }
      // It ends with the signal and never rejects.
      void follow({ ...target, subscriber, transport, position, signal }, following)
      followers.push({ name: nameOf(transport, subscriber), accepts, following })
    }
  }
  return followers
}

const nameOf = (transport: FollowedTransport, subscriber: string) => `${subscriber} over ${transport}`

/** The position of the log's end, before there is anything in it. */
async function currentPosition({ url, key }: Target): Promise<string> {
  const at = encodeURIComponent(new Date().toISOString())
  const answer = await fetch(`${url()}/streams/position?at=${at}`, {
    headers: { authorization: `Bearer ${key}` },
  })
  const { position } = (await answer.json()) as { position: string }
  return position
}

async function post({ url, key }: Target, path: string, body: object): Promise<void> {
  const answer = await fetch(`${url()}${path}`, {
    method: 'POST',
    headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
    body: JSON.stringify(body),
  })
  if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`)
}

/** Waits until each has as many events as it should have, and a moment more for those that it should not. */
async function untilCaughtUp(followers: readonly Follower[], rows: readonly AuditedRow[]): Promise<void> {
  const deadline = performance.now() + caughtUpMsMax
  const isBehind = ({ accepts, following: { ids } }: Follower) => ids.length < rows.filter(accepts).length
  while (followers.some(isBehind) && performance.now() < deadline) await pause(100)
  await pause(500)
}

/** The findings of rows and ledger with those of the followers added; `fault-report` names the kinds. */
export function compareStreams(
  followers: readonly Follower[],
  rows: readonly AuditedRow[],
  findings: Findings,
): Findings {
  const offsets = new Map(rows.map(({ event_id, position }) => [event_id, offsetOf(position)]))
  const found = followers.map((follower) => ({ follower, ...compareOne(follower, rows, offsets) }))
  const all = (kind: 'lost' | 'duplicated' | 'invented' | 'reordered') => [
    ...findings[kind],
    ...found.flatMap(({ follower, [kind]: ids }) => ids.map((id) => `${id} for ${follower.name}`)),
  ]
  return {
    ...findings,
    ...{
      lost: all('lost'),
      duplicated: all('duplicated'),
      invented: all('invented'),
      reordered: all('reordered'),
    },
    wrongAnswers: [
      ...findings.wrongAnswers,
      ...followers.flatMap(({ name, following: { wrong } }) => wrong.map((what) => `${what} for ${name}`)),
    ],
  }
}

type Place = { readonly partition: string; readonly offset: number }

function compareOne(
  { accepts, following: { ids } }: Follower,
  rows: readonly AuditedRow[],
  offsets: ReadonlyMap<string, Place>,
) {
  const wanted = new Set(rows.filter(accepts).map(({ event_id }) => event_id))
  const received = new Set(ids)
  const last = new Map<string, number>()
  const reordered: string[] = []
  for (const id of received) {
    const place = offsets.get(id)
    if (!place) continue
    if (place.offset <= (last.get(place.partition) ?? -1)) reordered.push(id)
    last.set(place.partition, place.offset)
  }
  return {
    lost: [...wanted].filter((id) => !received.has(id)),
    duplicated: repeatedIn(ids),
    invented: [...received].filter((id) => !wanted.has(id)),
    reordered,
  }
}

function repeatedIn(ids: readonly string[]): string[] {
  const seen = new Set<string>()
  return ids.filter((id) => seen.size === seen.add(id).size)
}

// A position is topic~epoch~partition.offset~checksum.
function offsetOf(position: string): Place {
  const [topic, , place = ''] = position.split('~')
  const [partition, offset] = place.split('.')
  return { partition: `${topic}/${partition}`, offset: Number(offset) }
}
