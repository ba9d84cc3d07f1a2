import type { Event } from '@pulse/protocol/event'
import { instantOf } from '@pulse/protocol/instant'
import { formatEventPosition } from '@pulse/protocol/position'
import type { HandlerContext, HandlerLog, HandlerResult } from '../config/define-config.ts'
import type { HandlerRegistry, NamedHandler } from './handler-registry.ts'
import { type Attempt, afterFailure, failureOf, type RetryPolicy, type Work } from './outcome.ts'

export interface Place {
  readonly epoch: number
  readonly topic: string
  readonly partition: number
}

interface RunnerNeeds {
  readonly handlers: HandlerRegistry
  readonly policy: RetryPolicy
  readonly timeoutMs: number
  /** Handlers that may be waited for at the same time in this process, over all its partitions. */
  readonly concurrencyMax: number
  readonly logOf: (eventId: string, eventType: string) => HandlerLog
  /** Told how long a handler took. */
  readonly handled: (eventType: string, ms: number) => void
}

/**
 * Runs handlers. A handler that answers at once costs no promise and no timer; one that returns a promise is raced
 * against its time. Nothing that a handler does makes this throw. What fails after the stop has begun is `left`: the
 * handler was told to stop, and an event must not pay for that.
 */
export class HandlerRunner {
  readonly #needs: RunnerNeeds
  #running = 0
  #waiting: (() => void)[] = []
  constructor(needs: RunnerNeeds) {
    this.#needs = needs
  }

  /** True if no more handlers may be begun for now. */
  get full(): boolean {
    return this.#running >= this.#needs.concurrencyMax
  }

  /** Resolves when a handler has ended; others may have been waiting too, so look at `full` again. */
  freed(): Promise<void> {
    return new Promise((resolve) => this.#waiting.push(resolve))
  }

  run(work: Work, place: Place, stop: AbortSignal): Attempt | Promise<Attempt> {
    const { record } = work
    const { event_type } = record.event
    const handler = this.#needs.handlers.find(event_type)
    const startedMs = performance.now()
    const done = (attempt: Attempt): Attempt => {
      this.#needs.handled(event_type, performance.now() - startedMs)
      const failed = attempt.kind === 'parked' || attempt.kind === 'dead'
      return failed && stop.aborted ? { kind: 'left', work } : attempt
    }
    const context = new LazyContext(this.#needs, work, place, stop)
    try {
      // A team's handler gets a copy, since what it changes in its event must not reach the row.
      const event = handler.builtIn ? record.event : (JSON.parse(record.value) as Event)
      const result = handler.handle(event, context)
      if (!isThenable(result)) return done(this.#outcome(work, result, handler))
      return this.#awaited(result, context)
        .then((value) => this.#outcome(work, value, handler))
        .catch((error) => this.#failed(work, error, handler))
        .then(done)
    } catch (error) {
      return done(this.#failed(work, error, handler))
    }
  }

  #outcome(work: Work, result: unknown, handler: NamedHandler): Attempt {
    if (result === undefined || result === null) return { kind: 'processed', work, enriched: null, rows: {} }
    const fault = faultOf(result)
    if (fault) return this.#failed(work, new TypeError(`handler ${handler.name} returned ${fault}`), handler)
    const { drop, enriched, rows } = result as HandlerResult
    if (drop !== undefined) return { kind: 'dropped', work, reason: drop }
    return { kind: 'processed', work, enriched: enriched ?? null, rows: rows ?? {} }
  }

  #failed(work: Work, error: unknown, handler: NamedHandler): Attempt {
    return afterFailure(work, failureOf(error, handler.name), this.#needs.policy)
  }

  async #awaited(result: PromiseLike<unknown>, context: LazyContext): Promise<unknown> {
    const { timeoutMs } = this.#needs
    let timer: NodeJS.Timeout | undefined
    this.#running++
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => {
        context.abort()
        reject(new HandlerTimeout(`the handler took over ${timeoutMs} ms`))
      }, timeoutMs)
    })
    try {
      return await Promise.race([result, late])
    } finally {
      clearTimeout(timer)
      this.#running--
      for (const go of this.#waiting.splice(0)) go()
    }
  }
}

/** Promises of other libraries and realms are awaited too, as `await` would. */
function isThenable(result: unknown): result is PromiseLike<unknown> {
  if (result === null || (typeof result !== 'object' && typeof result !== 'function')) return false
  return typeof (result as { then?: unknown }).then === 'function'
}

class HandlerTimeout extends Error {
  override name = 'HandlerTimeout'
}

function faultOf(result: unknown): string | undefined {
  if (typeof result !== 'object') return `a ${typeof result}, not an object`
  const { enriched, rows, drop } = result as HandlerResult
  if (enriched !== undefined && (typeof enriched !== 'object' || enriched === null))
    return 'enriched that is no object'
  if (drop !== undefined && typeof drop !== 'string') return 'drop that is no string'
  if (rows === undefined) return undefined
  if (typeof rows !== 'object' || rows === null) return 'rows that are no object'
  return Object.values(rows).every((each) => Array.isArray(each)) ? undefined : 'rows that are no lists'
}

/** What a handler is told, made only as far as it asks. */
class LazyContext implements HandlerContext {
  readonly #needs: RunnerNeeds
  readonly #work: Work
  readonly #place: Place
  readonly #stop: AbortSignal
  #controller: AbortController | undefined
  constructor(needs: RunnerNeeds, work: Work, place: Place, stop: AbortSignal) {
    this.#needs = needs
    this.#work = work
    this.#place = place
    this.#stop = stop
  }
  get attempt(): number {
    return this.#work.attempts + 1
  }
  get signal(): AbortSignal {
    this.#controller ??= new AbortController()
    return AbortSignal.any([this.#controller.signal, this.#stop])
  }
  get log(): HandlerLog {
    const { event } = this.#work.record
    return this.#needs.logOf(event.event_id, event.event_type)
  }
  get receivedAt(): string {
    return instantOf(this.#work.record.receivedAt)
  }
  get position(): string {
    const { epoch, topic, partition } = this.#place
    return formatEventPosition(epoch, topic, partition, this.#work.record.offset)
  }
  abort(): void {
    this.#controller ??= new AbortController()
    this.#controller.abort(new HandlerTimeout('out of time'))
  }
}
