import type { SubmittedEvent } from '@pulse/protocol/event'
import type { BatchItem, BatchResult, Receipt } from '@pulse/protocol/receipt'
import type { Clock } from './clock.ts'
import { newEventId } from './event-id.ts'
import { PulseError } from './pulse-error.ts'
import type { Transport } from './transport.ts'

export interface PublisherOptions {
  /**
   * The key that orders an event: events of one key are kept in the order in which they were published. Undefined: it
   * has no order. Default: `user_id`, which is the server's default too; a type that declares another key needs it here.
   */
  readonly keyOf?: ((event: SubmittedEvent) => string | undefined) | undefined
  readonly limits?: Partial<PublisherLimits> | undefined
  /** Gives up: what waits and what is under way is rejected with its reason. */
  readonly signal?: AbortSignal | undefined
}

export interface PublisherLimits {
  /** Events that wait or are under way; default 10,000. Beyond it `publish` refuses. */
  readonly eventsMax: number
  /** The same in characters of JSON; default 16,777,216. */
  readonly charsMax: number
  /** Events of one request; default 500. */
  readonly batchEventsMax: number
  /** Characters of one request; default 1,048,576. */
  readonly batchCharsMax: number
  /**
   * Events of one key in one request; default 1, with which order holds whatever happens. More make a single busy key
   * faster. But if the server loses its database in the middle of a request, it can keep a later event and ask for an
   * earlier one again, which then stands behind.
   */
  readonly batchKeyEventsMax: number
  /** Requests under way at a time; default 4. No two of them have a key in common. */
  readonly requestsMax: number
  /** How long an event waits for others to travel with; default 5. */
  readonly lingerMs: number
  /** An event that could not be delivered for this long is rejected; default 300,000. */
  readonly giveUpMs: number
  /** Upper end of the first wait after a failure, which doubles; default 200. */
  readonly waitMsBase: number
  /** Default 10,000. */
  readonly waitMsMax: number
}

/**
 * Publishes many events: in batches, each once, in order per key. What fails for a passing reason is sent again with
 * the same id, so it is kept once however often it is sent.
 */
export interface Publisher {
  /**
   * Takes an event, as it is now, and resolves with its receipt when it is kept. Rejects with PulseError: at once with
   * `buffer_full`, else with `invalid_event`, `event_id_conflict` or what made the request fail.
   */
  publish(event: SubmittedEvent): Promise<Receipt>
  /** Resolves when there is room for another event. A producer that waits for it goes as fast as the server. */
  room(): Promise<void>
  /** Resolves when every event that was taken until now is settled, one way or the other. */
  flush(): Promise<void>
  /** Takes nothing more, and resolves when all is settled. Twice is harmless. */
  close(): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
  /** Events that wait or are under way. */
  readonly pending: number
}

const limitDefaults: PublisherLimits = {
  eventsMax: 10_000,
  charsMax: 16_777_216,
  batchEventsMax: 500,
  batchCharsMax: 1_048_576,
  batchKeyEventsMax: 1,
  requestsMax: 4,
  lingerMs: 5,
  giveUpMs: 300_000,
  waitMsBase: 200,
  waitMsMax: 10_000,
}

export interface PublisherNeeds {
  readonly transport: Transport
  readonly clock: Clock
  readonly random: () => number
}

/** Opens a publisher. It holds no connection of its own. */
export function openPublisher(needs: PublisherNeeds, options: PublisherOptions = {}): Publisher {
  return new OpenPublisher(needs, options)
}

interface Pending {
  readonly lane: Lane
  readonly id: string
  /** The event as JSON, as it was when it was taken. */
  readonly text: string
  readonly sinceMs: number
  readonly settle: (outcome: Receipt | Error) => void
}

/** The events of one key, in their order. A lane is in one request at most. */
interface Lane {
  readonly key: string
  readonly waiting: Pending[]
}

class OpenPublisher implements Publisher {
  readonly #needs: PublisherNeeds
  readonly #limits: PublisherLimits
  readonly #keyOf: (event: SubmittedEvent) => string | undefined
  readonly #signal: AbortSignal | undefined
  readonly #lanes = new Map<string, Lane>()
  /** Lanes with waiting events of which none is under way. */
  #ready: Lane[] = []
  #requests = 0
  #pending = 0
  #chars = 0
  #failures = 0
  /** Runs until the next request may leave: others gather meanwhile, or the server needs a rest. */
  #pause: (() => void) | undefined
  /** Lowered when the server says that a request was too large. */
  #batchEventsMax: number
  #closed = false
  #roomWanted: (() => void)[] = []
  #emptyWanted: (() => void)[] = []

  constructor(needs: PublisherNeeds, { limits, keyOf, signal }: PublisherOptions) {
    this.#needs = needs
    this.#limits = { ...limitDefaults, ...limits }
    this.#batchEventsMax = this.#limits.batchEventsMax
    this.#keyOf = keyOf ?? (({ user_id }) => user_id ?? undefined)
    this.#signal = signal
    signal?.addEventListener('abort', this.#abort, { once: true })
  }

  get pending(): number {
    return this.#pending
  }

  publish(event: SubmittedEvent): Promise<Receipt> {
    if (this.#signal?.aborted) return Promise.reject(this.#signal.reason)
    if (this.#closed) return refuse('closed', 'The publisher is closed.')
    if (!this.#hasRoom) return refuse('buffer_full', `${this.#pending} events wait: wait for room.`)
    const id = event.event_id ?? newEventId()
    const text = JSON.stringify({ ...event, event_id: id })
    const lane = this.#laneOf(this.#keyOf(event) ?? id)
    return new Promise((resolve, reject) => {
      const settle = (outcome: Receipt | Error) => {
        this.#pending--
        this.#chars -= text.length
        if (outcome instanceof Error) reject(outcome)
        else resolve(outcome)
      }
      lane.waiting.push({ lane, id, text, sinceMs: this.#needs.clock.now(), settle })
      this.#pending++
      this.#chars += text.length
      // A full batch need not wait for more.
      const isFull = this.#ready.length >= this.#batchEventsMax && this.#failures === 0
      if (isFull) this.#endPause()
      this.#pump(isFull ? 0 : this.#limits.lingerMs)
    })
  }

  async room(): Promise<void> {
    if (this.#hasRoom) return
    await new Promise<void>((resolve) => this.#roomWanted.push(resolve))
  }

  async flush(): Promise<void> {
    if (this.#pending === 0) return
    if (this.#failures === 0) this.#endPause()
    this.#pump(0)
    await new Promise<void>((resolve) => this.#emptyWanted.push(resolve))
  }

  async close(): Promise<void> {
    this.#closed = true
    await this.flush()
    this.#signal?.removeEventListener('abort', this.#abort)
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  get #hasRoom(): boolean {
    return this.#pending < this.#limits.eventsMax && this.#chars < this.#limits.charsMax
  }

  readonly #abort = () => {
    this.#endPause()
    const reason = asError(this.#signal?.reason)
    const waiting = [...this.#lanes.values()].flatMap((lane) => lane.waiting.splice(0))
    this.#lanes.clear()
    this.#ready = []
    for (const pending of waiting) pending.settle(reason)
    this.#tell()
  }

  #laneOf(key: string): Lane {
    const known = this.#lanes.get(key)
    if (known) return known
    const lane: Lane = { key, waiting: [] }
    this.#lanes.set(key, lane)
    this.#ready.push(lane)
    return lane
  }

  #endPause(): void {
    this.#pause?.()
    this.#pause = undefined
  }

  /** Sends what may be sent, after a while in which others may come. */
  #pump(afterMs: number): void {
    if (this.#pause || this.#ready.length === 0 || this.#requests >= this.#limits.requestsMax) return
    if (afterMs > 0) {
      this.#pause = this.#needs.clock.after(afterMs, () => {
        this.#pause = undefined
        this.#pump(0)
      })
      return
    }
    while (this.#ready.length > 0 && this.#requests < this.#limits.requestsMax) this.#send(this.#gather())
  }

  #gather(): Pending[] {
    const { batchCharsMax, batchKeyEventsMax } = this.#limits
    const batch: Pending[] = []
    let chars = 0
    let lanes = 0
    for (const lane of this.#ready) {
      const room = this.#batchEventsMax - batch.length
      if (room <= 0 || chars >= batchCharsMax) break
      lanes++
      for (const pending of lane.waiting.slice(0, Math.min(room, batchKeyEventsMax))) {
        if (batch.length > 0 && chars + pending.text.length > batchCharsMax) {
          chars = batchCharsMax
          break
        }
        batch.push(pending)
        chars += pending.text.length
      }
    }
    // A lane of which nothing fitted any more is still ready; the last one may be that.
    const taken = new Set(batch.map(({ lane }) => lane))
    this.#ready = [
      ...this.#ready.slice(0, lanes).filter((lane) => !taken.has(lane)),
      ...this.#ready.slice(lanes),
    ]
    return batch
  }

  async #send(batch: readonly Pending[]): Promise<void> {
    this.#requests++
    let waitMs: number | undefined
    try {
      waitMs = this.#settle(batch, await this.#request(batch))
    } catch (error) {
      waitMs = this.#fail(batch, asError(error))
    }
    this.#requests--
    for (const lane of new Set(batch.map((pending) => pending.lane))) this.#release(lane)
    if (waitMs === undefined) this.#failures = 0
    else this.#rest(waitMs)
    this.#tell()
    this.#pump(0)
  }

  async #request(batch: readonly Pending[]): Promise<BatchResult> {
    const text = `[${batch.map((pending) => pending.text).join(',')}]`
    // A batch of which nothing was accepted is answered with one of these, and still with every verdict.
    const call = {
      method: 'POST',
      path: '/events',
      text,
      repeatable: true,
      answers: [409, 422, 429, 503],
    } as const
    const { body, status } = await this.#needs.transport.send<BatchResult>(call, {
      retriesMax: 0,
      signal: this.#signal,
    })
    if (body.results?.length === batch.length) return body
    const detail = 'The answer does not have one verdict per event.'
    throw new PulseError({ code: 'unexpected_answer', detail, status })
  }

  /** Settles what has a final verdict. Returns how long to wait with the rest; undefined if there is none. */
  #settle(batch: readonly Pending[], { results }: BatchResult): number | undefined {
    let waitMs: number | undefined
    batch.forEach((pending, at) => {
      const verdict = results[at] as BatchItem
      const outcome = outcomeOf(verdict)
      if (outcome) {
        finish(pending, outcome)
        return
      }
      waitMs = Math.max(waitMs ?? 0, verdict.status === 'throttled' ? verdict.retry_after * 1_000 : 0)
      this.#giveUpOn(
        pending,
        new PulseError({ code: 'unavailable', detail: 'The server could not keep it in time.' }),
      )
    })
    return waitMs
  }

  /** The request failed: either it is sent again, or its events are refused. */
  #fail(batch: readonly Pending[], error: Error): number | undefined {
    const isTooLarge = error instanceof PulseError && error.code === 'payload_too_large' && batch.length > 1
    if (isTooLarge) {
      this.#batchEventsMax = Math.max(1, Math.floor(batch.length / 2))
      return undefined
    }
    if (!(error instanceof PulseError) || !error.retryable) {
      for (const pending of batch) finish(pending, error)
      return undefined
    }
    for (const pending of batch) this.#giveUpOn(pending, error)
    return (error.retryAfter ?? 0) * 1_000
  }

  #giveUpOn(pending: Pending, error: Error): void {
    if (this.#needs.clock.now() - pending.sinceMs >= this.#limits.giveUpMs) finish(pending, error)
  }

  /** The lane's events may leave again. */
  #release(lane: Lane): void {
    if (this.#lanes.get(lane.key) !== lane) return
    if (lane.waiting.length > 0) this.#ready.push(lane)
    else this.#lanes.delete(lane.key)
  }

  /** Gives the server a rest: as long as it asks for, and a random time more, so that not everybody is back at once. */
  #rest(askedMs: number): void {
    const { waitMsBase, waitMsMax } = this.#limits
    const jitterMs = this.#needs.random() * Math.min(waitMsMax, waitMsBase * 2 ** this.#failures)
    this.#failures++
    this.#endPause()
    this.#pause = this.#needs.clock.after(askedMs + jitterMs, () => {
      this.#pause = undefined
      this.#pump(0)
    })
  }

  #tell(): void {
    if (this.#hasRoom) for (const resolve of this.#roomWanted.splice(0)) resolve()
    if (this.#pending === 0) for (const resolve of this.#emptyWanted.splice(0)) resolve()
  }
}

/** Takes an event out of its lane and settles it. Harmless if it was given up meanwhile. */
function finish(pending: Pending, outcome: Receipt | Error): void {
  const at = pending.lane.waiting.indexOf(pending)
  if (at < 0) return
  pending.lane.waiting.splice(at, 1)
  pending.settle(outcome)
}

/** What a verdict means for its event; undefined: it is to be sent again. */
function outcomeOf(verdict: BatchItem): Receipt | PulseError | undefined {
  switch (verdict.status) {
    case 'accepted':
    case 'duplicate':
      return verdict.receipt as Receipt
    case 'conflict':
      return new PulseError({ code: 'event_id_conflict', detail: verdict.detail })
    case 'invalid': {
      const [first] = verdict.errors
      const detail = `${first?.pointer || 'The event'} ${first?.detail ?? 'is not valid'}`
      return new PulseError({ code: 'invalid_event', detail, errors: verdict.errors })
    }
    case 'throttled':
    case 'retry':
      return undefined
  }
}

const asError = (error: unknown): Error => (error instanceof Error ? error : new Error(String(error)))

const refuse = (code: 'closed' | 'buffer_full', detail: string) =>
  Promise.reject(new PulseError({ code, detail }))
