import { createHistogram } from 'node:perf_hooks'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Client, Subscription } from '@pulse/client'
import type { Event } from '@pulse/protocol/event'
import { microsOf } from '@pulse/protocol/instant'
import { pause } from '../cli.ts'
import { exitCodes } from '../exit-code.ts'
import { CommandError } from '../failure.ts'

export interface ReceiversNeeds {
  readonly client: Client
  /** One stream is opened for each. */
  readonly subscribers: readonly string[]
  /** Value of `source` of the events that are counted; others that match as well are not. */
  readonly source: string
  readonly signal: AbortSignal
}

/** What arrived at the sockets of a load test. */
export interface Received {
  readonly sockets: number
  readonly received: number
  /** Events that were acknowledged and did not reach a socket, summed over the sockets. */
  readonly missing: number
  /** Events that a socket got more often than they were sent. */
  readonly repeated: number
  readonly gaps: number
  readonly reconnects: number
  /** From the first to the last delivery. */
  readonly seconds: number
  /** Deliveries per second; 0 if there was one at most. */
  readonly received_per_second: number
  /** From the timestamp of each event, which is when it was due to be sent, to its delivery; null without any. */
  readonly latency_ms: {
    readonly p50: number
    readonly p95: number
    readonly p99: number
    readonly max: number
  } | null
}

/** Streams that count what they get. Disposing closes them. */
export interface Receivers extends AsyncDisposable {
  /**
   * Waits until every socket has this many events, or none got any for `quietMsMax`, or the user interrupts, and tells
   * what came. `acknowledged` have to arrive; `sent` may.
   */
  settled(counts: { acknowledged: number; sent: number }, quietMsMax: number): Promise<Received>
}

const openMsMax = 60_000
const lookMs = 20

/** Opens all streams; resolves once each of them is live. Throws PulseError of one that ends, or CommandError. */
export async function openReceivers(needs: ReceiversNeeds): Promise<Receivers> {
  const counts = new Counts(needs.subscribers.length)
  const lively = new Set<number>()
  const streams = needs.subscribers.map((subscriber, n) =>
    openStream(needs, { subscriber, n, counts, lively }),
  )
  const close = async () => void (await Promise.all(streams.map((stream) => stream.close())))
  try {
    await Promise.race([allLive(lively, needs), firstEnd(streams)])
  } catch (error) {
    await close()
    throw error
  }
  return {
    async settled({ acknowledged, sent }, quietMsMax) {
      let seen = counts.received
      let changedAt = performance.now()
      const isDone = () => counts.allHave(acknowledged) || needs.signal.aborted
      while (!isDone() && performance.now() - changedAt < quietMsMax) {
        await sleep(lookMs)
        if (counts.received !== seen) changedAt = performance.now()
        seen = counts.received
      }
      return counts.result(acknowledged, sent)
    },
    [Symbol.asyncDispose]: close,
  }
}

interface OneStream {
  readonly subscriber: string
  /** Its number. */
  readonly n: number
  readonly counts: Counts
  readonly lively: Set<number>
}

function openStream(
  { client, source, signal }: ReceiversNeeds,
  { subscriber, n, counts, lively }: OneStream,
): Subscription {
  return client.subscribe({
    subscriber,
    signal,
    onEvent: ({ event }) => {
      if (event.source === source) counts.take(n, event)
    },
    onGap: () => {
      counts.gaps++
    },
    onConnection: ({ kind }) => {
      if (kind !== 'live') return
      if (lively.has(n)) counts.reconnects++
      lively.add(n)
    },
  })
}

async function allLive(lively: ReadonlySet<number>, { subscribers, signal }: ReceiversNeeds): Promise<void> {
  const deadline = performance.now() + openMsMax
  while (lively.size < subscribers.length) {
    await pause(lookMs, signal)
    if (performance.now() < deadline) continue
    throw new CommandError(
      exitCodes.unavailable,
      `Only ${lively.size} of ${subscribers.length} sockets are open after ${openMsMax / 1000} s`,
      'pulse streams',
    )
  }
}

async function firstEnd(streams: readonly Subscription[]): Promise<never> {
  const error = await Promise.race(streams.map(({ ended }) => ended))
  throw error ?? new CommandError(exitCodes.interrupted, 'The sockets were closed')
}

class Counts {
  gaps = 0
  reconnects = 0
  received = 0
  readonly #perSocket: Float64Array
  readonly #latency = createHistogram({ figures: 3 })
  #firstAt: number | undefined
  #lastAt = 0

  constructor(sockets: number) {
    this.#perSocket = new Float64Array(sockets)
  }

  take(socket: number, { timestamp }: Event): void {
    this.#lastAt = performance.now()
    this.#firstAt ??= this.#lastAt
    this.received++
    this.#perSocket[socket] = (this.#perSocket[socket] ?? 0) + 1
    const micros = (performance.timeOrigin + this.#lastAt) * 1000 - microsOf(timestamp)
    this.#latency.record(Math.max(1, Math.round(micros)))
  }

  allHave(events: number): boolean {
    return this.#perSocket.every((count) => count >= events)
  }

  result(acknowledged: number, sent: number): Received {
    const over = (which: (count: number) => number) =>
      this.#perSocket.reduce((sum, count) => sum + Math.max(0, which(count)), 0)
    const seconds = (this.#lastAt - (this.#firstAt ?? this.#lastAt)) / 1000
    const ms = (rank: number) => this.#latency.percentile(rank) / 1000
    return {
      sockets: this.#perSocket.length,
      received: this.received,
      missing: over((count) => acknowledged - count),
      repeated: over((count) => count - sent),
      gaps: this.gaps,
      reconnects: this.reconnects,
      seconds,
      received_per_second: seconds === 0 ? 0 : this.received / seconds,
      latency_ms:
        this.received === 0 ? null : { p50: ms(50), p95: ms(95), p99: ms(99), max: this.#latency.max / 1000 },
    }
  }
}
