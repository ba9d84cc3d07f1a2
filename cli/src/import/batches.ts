import type { BadRecord } from './bad-records.ts'
import type { ToEvent } from './mapping.ts'
import type { Pace } from './pace.ts'
import type { FileRecord, Place } from './records.ts'
import type { ReadyEvent } from './send-batch.ts'

/** Events of neighbouring records, the bad records among them, and where the next batch begins. */
export interface Batch {
  readonly ready: readonly ReadyEvent[]
  readonly bad: readonly BadRecord[]
  readonly place: Place
}

export interface BatchOptions {
  readonly eventsMax: number
  /** When events are due; as fast as they are taken without one. */
  readonly pace?: Pace | undefined
  /** Waits; rejects when the user interrupts. */
  readonly wait: (ms: number) => Promise<void>
}

// Below the body's 4 MiB by what the brackets and commas of a full batch can add, and then some.
const bytesMax = 4 * 1024 * 1024 - 64 * 1024

/** What is due within this time goes together: a request for each event of a dense file would cost more than it says. */
const tickMs = 20

/** Cuts records into batches, in their order; with a pace each batch comes when its first event is due. */
export async function* inBatches(
  records: AsyncIterable<FileRecord>,
  toEvent: ToEvent,
  { eventsMax, pace, wait }: BatchOptions,
): AsyncGenerator<Batch> {
  const startedAt = performance.now()
  let batch = new Filling()
  for await (const record of records) {
    const { number, parsed } = record
    const event = 'problem' in parsed ? parsed.problem : toEvent(parsed.values, number)
    const isEvent = typeof event !== 'string'
    const size = isEvent ? Buffer.byteLength(JSON.stringify(event)) + 1 : 0
    const dueAt = isEvent && pace ? startedAt + pace.dueMs(event) : 0
    const isEarly = dueAt - performance.now() > tickMs
    if (isEarly || batch.bytes + size > bytesMax) {
      const full = batch.take()
      if (full) yield full
      batch = new Filling()
    }
    // Looked at anew: sending the batch took some of the time.
    if (isEarly) await wait(Math.max(0, dueAt - performance.now()))
    batch.add(record, event, size)
    if (batch.records < eventsMax) continue
    const full = batch.take()
    if (full) yield full
    batch = new Filling()
  }
  const rest = batch.take()
  if (rest) yield rest
}

/** A batch on its way to being full. */
class Filling {
  bytes = 0
  readonly #ready: ReadyEvent[] = []
  readonly #bad: BadRecord[] = []
  #place: Place | undefined

  get records(): number {
    return this.#ready.length + this.#bad.length
  }

  add({ number, line, text, next }: FileRecord, event: ReturnType<ToEvent>, bytes: number): void {
    if (typeof event === 'string') this.#bad.push({ line, record: number, reason: event, text })
    else this.#ready.push({ event, line, record: number, text })
    this.bytes += bytes
    this.#place = next
  }

  /** The batch; undefined if there is nothing in it. */
  take(): Batch | undefined {
    if (this.#place === undefined || this.records === 0) return undefined
    return { ready: this.#ready, bad: this.#bad, place: this.#place }
  }
}
