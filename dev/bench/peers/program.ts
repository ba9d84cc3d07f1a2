import { randomUUID } from 'node:crypto'
import { makeBodies } from '../load/sample-events.ts'
import { openBullmqProducer, openBullmqWorker } from './bullmq.ts'
import type { Submission } from './peer.ts'
import { openPgBossProducer, openPgBossWorker } from './pg-boss.ts'

/** Where a peer's process finds its servers. */
export interface Places {
  readonly redisUrl: string
  /** For `pg`: of the database that holds the rows. */
  readonly database: Readonly<Record<string, string | number>>
}

export type Order =
  | { readonly kind: 'open'; readonly part: Part; readonly places: Places }
  | { readonly kind: 'submit'; readonly submission: Submission }
type Part = 'bullmq-producer' | 'bullmq-worker' | 'pg-boss-producer' | 'pg-boss-worker'

export interface Submitted {
  readonly accepted: number
  readonly failed: number
}
export type Reply =
  | { readonly kind: 'opened' }
  | { readonly kind: 'submitted'; readonly submitted: Submitted }
  | { readonly kind: 'failed'; readonly why: string }

/** The event as both peers get it: an object with an id of the client's. */
export interface PeerEvent {
  readonly event_id: string
}

/** Hands events in; resolves when they are acknowledged. */
export interface Producer {
  one(event: PeerEvent): Promise<unknown>
  many(events: readonly PeerEvent[]): Promise<unknown>
}

let producer: Producer | undefined

process.on('message', (order: Order) => {
  obey(order).then(
    (reply) => process.send?.(reply),
    (error: unknown) => {
      const why = error instanceof Error ? (error.stack ?? error.message) : String(error)
      process.send?.({ kind: 'failed', why } satisfies Reply)
    },
  )
})
// A bench that is over needs nothing of what is left here.
process.on('disconnect', () => process.exit())

async function obey(order: Order): Promise<Reply> {
  if (order.kind === 'submit') return { kind: 'submitted', submitted: await submit(order.submission) }
  switch (order.part) {
    case 'bullmq-producer':
      producer = await openBullmqProducer(order.places)
      break
    case 'bullmq-worker':
      await openBullmqWorker(order.places)
      break
    case 'pg-boss-producer':
      producer = await openPgBossProducer(order.places)
      break
    case 'pg-boss-worker':
      await openPgBossWorker(order.places)
  }
  return { kind: 'opened' }
}

// The same varied events of about 300 bytes that the load generator sends to Pulse, as objects.
const bodies = makeBodies().map((body) => JSON.parse(`{"event_id":"${body}`) as PeerEvent)
let next = 0
function newEvent(): PeerEvent {
  return { ...bodies[next++ % bodies.length], event_id: randomUUID() }
}

async function submit({ batch, inFlight, ms }: Submission): Promise<Submitted> {
  const until = performance.now() + ms
  let accepted = 0
  let failed = 0
  const send = async () => {
    if (!producer) throw new Error('this process hands nothing in')
    if (batch === 0) return producer.one(newEvent())
    return producer.many(Array.from({ length: batch }, newEvent))
  }
  const loop = async () => {
    while (performance.now() < until)
      try {
        await send()
        accepted += Math.max(1, batch)
      } catch {
        failed++
      }
  }
  await Promise.all(Array.from({ length: inFlight }, loop))
  return { accepted, failed }
}
