import { setTimeout as delay } from 'node:timers/promises'
import type { Bench, BenchResult, Figure, Settings } from '../bench.ts'
import { connectTo, describeDatabase, type Pulse, startPulse } from '../pulse.ts'
import { Figures } from '../statistics.ts'
import { openBullmq } from './bullmq-peer.ts'
import type { Peer, Submission } from './peer.ts'
import { openPgBoss } from './pg-boss-peer.ts'
import { openPulsePeer } from './pulse-peer.ts'
import { makeRowsDatabase } from './rows.ts'

const shapes = [
  { name: 'single', batch: 0, inFlight: 64, wanted: { BullMQ: 1, 'pg-boss': 10 } },
  { name: 'batches of 100', batch: 100, inFlight: 16, wanted: { BullMQ: 2, 'pg-boss': 2 } },
] as const
type Shape = (typeof shapes)[number]

/** The same events through Pulse and through what people use today, one after another in alternating rounds. */
export const peersBench: Bench = {
  name: 'peers',
  summary: 'accept and execute, beside BullMQ (Redis, appendfsync always) and pg-boss (PostgreSQL)',
  measure,
}

async function measure(settings: Settings): Promise<BenchResult> {
  const found = new Figures()
  await using pulse = await startPulse({
    roles: settings.roles ?? 'intake,processing',
    profile: settings.profile,
  })
  const database = await settingsOf(pulse)
  const rows = await makeRowsDatabase(pulse)
  // Opened for its own turn only: an idle worker still polls, and two systems at once would share the cores.
  const openers = [
    () => openPulsePeer(pulse, settings.load),
    () => openBullmq(rows),
    () => openPgBoss(rows),
  ] as const
  const does: string[] = []
  for (let run = 0; run <= settings.runs && !settings.signal.aborted; run++) {
    settings.say(run === 0 ? 'warming up' : `run ${run} of ${settings.runs}`)
    for (const open of turned(openers, run)) {
      await using peer = await open()
      if (run === 0) does.push(`${peer.name}: ${peer.does}`)
      const ms = (settings.seconds ?? 5) * 1_000
      // Every process is new, so each system warms up by itself before it is measured.
      for (const shape of shapes)
        await oneRound(peer, { ...shape, ms: Math.min(ms, run === 0 ? 1_000 : 2_000) })
      if (run === 0) continue
      for (const shape of shapes) note(found, peer, { shape, rate: await oneRound(peer, { ...shape, ms }) })
    }
    if (run > 0) noteRatios(found)
  }
  return { figures: figuresOf(found), database, notes: [...commonNotes, ...does] }
}

const commonNotes = [
  'The same varied events of about 300 bytes with random ids of the client’s. A rate is events whose row is committed, over the time from the first call to the last row.',
  'Every system acknowledges after a sync to disk; producer and worker or server are processes of their own; rows go to one PostgreSQL server, in a database of its own for the peers. Systems take turns, each alone, in an order that moves on every run.',
]

async function settingsOf(pulse: Pulse): Promise<BenchResult['database']> {
  const client = await connectTo(pulse.databaseUrl)
  try {
    return await describeDatabase(client)
  } finally {
    await client.end()
  }
}

const turned = <T>(list: readonly T[], by: number): readonly T[] => [
  ...list.slice(by % list.length),
  ...list.slice(0, by % list.length),
]

const executedMsMax = 120_000

/** Events per second from the first call until the last accepted event has its row. */
async function oneRound(peer: Peer, submission: Submission): Promise<number> {
  await peer.reset()
  const startedAt = performance.now()
  const { accepted, failed } = await peer.submit(submission)
  if (failed > 0) throw new Error(`${peer.name} refused ${failed} calls`)
  const deadline = performance.now() + executedMsMax
  while ((await peer.executed()) < accepted) {
    if (performance.now() > deadline) throw new Error(`${peer.name} did not execute what it had accepted`)
    await delay(20)
  }
  return (accepted * 1_000) / (performance.now() - startedAt)
}

function note(found: Figures, peer: Peer, of: { shape: Shape; rate: number }): void {
  found.add(`${peer.name} ${of.shape.name}`, of.rate)
}

// Of the same run: what disturbed the machine in that minute disturbed all of them.
function noteRatios(found: Figures): void {
  for (const { name } of shapes)
    for (const other of ['BullMQ', 'pg-boss'] as const) {
      const ours = found.of(`Pulse ${name}`).at(-1)
      const theirs = found.of(`${other} ${name}`).at(-1)
      if (ours !== undefined && theirs !== undefined) found.add(`ratio ${other} ${name}`, ours / theirs)
    }
}

function figuresOf(found: Figures): Figure[] {
  return shapes.flatMap(({ name, wanted }): Figure[] => [
    ...(['Pulse', 'BullMQ', 'pg-boss'] as const).map((peer) => ({
      ...{ name: `${name}, ${peer}`, unit: 'events/s', series: found.of(`${peer} ${name}`) },
    })),
    ...(['BullMQ', 'pg-boss'] as const).map((peer) => ({
      ...{ name: `${name}, Pulse / ${peer}`, unit: 'times', series: found.of(`ratio ${peer} ${name}`) },
      wanted: { least: wanted[peer] },
    })),
  ])
}
