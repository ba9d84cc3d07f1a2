import { randomUUID } from 'node:crypto'
import { closeCodes } from '@pulse/protocol/close-codes'
import type { Registry } from 'prom-client'
import type { EventStreamConnection } from '../http/event-stream.ts'
import { ProblemError } from '../http/problem-error.ts'
import { eventsOf, type Measured, measurementMs, topicsPerMeasurement } from './measurement.ts'
import { registerGauge } from './prometheus.ts'

export const measurementLimits = {
  /** What is remembered for viewers who come back: five minutes. */
  eventsKeptMax: (300_000 / measurementMs) * topicsPerMeasurement,
  viewersMax: 1_000,
  /** Measurements between two heartbeats: 14 s, below what proxies and their time-outs allow. */
  measurementsPerHeartbeat: 7,
  /** Who was sent away comes back within this time after the first second, not all at once. */
  comeBackMsMax: 3_000,
} as const

export interface MeasurementStreamNeeds {
  /** Takes one measurement of the time since the last one. `viewers` follow the stream. */
  readonly measure: (viewers: number) => Measured
  /** Viewers other than `measurementLimits.viewersMax`. */
  readonly viewersMax?: number
}

/** The way to a viewer. */
export type ViewerConnection = Pick<
  EventStreamConnection,
  'start' | 'write' | 'onDrain' | 'heartbeat' | 'reconnect' | 'close'
>

/** The measurements of this server, each taken once and sent to everyone who watches. */
export interface MeasurementStream extends AsyncDisposable {
  /**
   * Sends a viewer what came after the event of this id, or else the newest measurement, and then every further one.
   * Returns what ends that. Throws ProblemError `overloaded` (too many viewers) and `shutting_down`.
   */
  join(connection: ViewerConnection, lastEventId: string | undefined): () => void
  /** Takes a measurement now; the clock does that every two seconds. */
  take(): void
  readonly viewers: number
}

interface Viewer {
  readonly connection: ViewerConnection
  /** Number of the next event that it gets. */
  next: number
  /** It has not taken what it got: the next events wait in the ring, not in its own memory. */
  full: boolean
}

/** The stream without a clock: it measures when it is told to. */
export class MeasurementRing implements MeasurementStream {
  readonly #needs: MeasurementStreamNeeds
  readonly #viewers = new Set<Viewer>()
  /**
   * Tells the ids of this run from those of another: after a restart, or from another server behind the same address,
   * numbers say nothing of what a viewer has seen.
   */
  readonly #run = randomUUID().slice(0, 8)
  /** The last five minutes, oldest first, encoded once for all; `#first` is the number of the oldest. */
  readonly #ring: Buffer[] = []
  #first = 1
  #taken = 0
  #timer: NodeJS.Timeout | undefined
  #isDraining = false

  constructor(needs: MeasurementStreamNeeds) {
    this.#needs = needs
  }

  get viewers(): number {
    return this.#viewers.size
  }

  /** Measures now, and from then on by the clock. */
  start(): void {
    this.take()
    this.#takeAtNextBeat()
  }

  /** Aligned to the clock, a little behind the second's history, which its figures are read from. */
  #takeAtNextBeat(): void {
    const wait = measurementMs + 20 - (Date.now() % measurementMs)
    this.#timer = setTimeout(() => {
      this.take()
      this.#takeAtNextBeat()
    }, wait)
    this.#timer.unref()
  }

  take(): void {
    for (const event of eventsOf(this.#needs.measure(this.viewers))) {
      const id = `${this.#run}-${this.#first + this.#ring.length}`
      this.#ring.push(Buffer.from(`id: ${id}\ndata: ${JSON.stringify(event)}\n\n`))
    }
    const surplus = Math.max(0, this.#ring.length - measurementLimits.eventsKeptMax)
    this.#ring.splice(0, surplus)
    this.#first += surplus
    const isHeartbeat = ++this.#taken % measurementLimits.measurementsPerHeartbeat === 0
    for (const viewer of this.#viewers) {
      if (isHeartbeat) viewer.connection.heartbeat()
      this.#send(viewer)
    }
  }

  join(connection: ViewerConnection, lastEventId: string | undefined): () => void {
    const { viewersMax = measurementLimits.viewersMax } = this.#needs
    if (this.#isDraining)
      throw new ProblemError('shutting_down', 'The server stops; come back.', { retryAfter: 2 })
    if (this.viewers >= viewersMax)
      throw new ProblemError('overloaded', `${viewersMax} viewers watch already; come back later.`, {
        retryAfter: 5,
      })
    const viewer: Viewer = { connection, next: this.#nextAfter(lastEventId), full: false }
    this.#viewers.add(viewer)
    connection.onDrain(() => {
      viewer.full = false
      this.#send(viewer)
    })
    connection.start()
    this.#send(viewer)
    return () => void this.#viewers.delete(viewer)
  }

  /** Number of the first event behind an id; of the newest measurement where the id is none of this run. */
  #nextAfter(lastEventId: string | undefined): number {
    const end = this.#first + this.#ring.length
    const [, run, number = ''] = /^(\w+)-(\d{1,15})$/.exec(lastEventId ?? '') ?? []
    const next = Number(number) + 1
    return run === this.#run && next <= end ? next : end - topicsPerMeasurement
  }

  #send(viewer: Viewer): void {
    // Whoever takes nothing at all is ended by the second heartbeat; whoever is slow skips what is no longer remembered.
    viewer.next = Math.max(viewer.next, this.#first)
    while (!viewer.full) {
      const event = this.#ring[viewer.next - this.#first]
      if (!event) return
      viewer.next++
      viewer.full = !viewer.connection.write(event)
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isDraining = true
    clearTimeout(this.#timer)
    for (const { connection } of this.#viewers) {
      connection.reconnect(1_000 + Math.round(Math.random() * measurementLimits.comeBackMsMax))
      connection.close(closeCodes.draining, 'the server stops; come back')
    }
    this.#viewers.clear()
  }
}

/** Starts to measure, every two seconds. Throws when the metric's name is taken in the registry. */
export function openMeasurementStream({
  metrics,
  ...needs
}: MeasurementStreamNeeds & { readonly metrics: Registry }): MeasurementStream {
  const stream = new MeasurementRing(needs)
  registerGauge(metrics, {
    name: 'pulse_measurement_viewers',
    help: 'Who follows the public stream of measurements.',
    samples: () => [{ labels: {}, value: stream.viewers }],
  })
  stream.start()
  return stream
}
