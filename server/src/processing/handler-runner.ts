import { instantOf } from '@pulse/protocol/instant'
import { formatEventPosition } from '@pulse/protocol/position'
import type { HandlerContext, HandlerLog, HandlerResult } from '../config/define-config.ts'
import type { HandlerRegistry, NamedHandler } from './handler-registry.ts'
import { afterFailure, failureOf, type Outcome, type RetryPolicy, type Work } from './outcome.ts'

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
 * against its time. Nothing that a handler does makes this throw.
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

  run(work: Work, place: Place, stop: AbortSignal): Outcome | Promise<Outcome> {
    const { event } = work.record
    const handler = this.#needs.handlers.find(event.event_type)
    const startedMs = performance.now()
    const done = (outcome: Outcome) => {
      this.#needs.handled(event.event_type, performance.now() - startedMs)
      return outcome
    }
    const context = new LazyContext(this.#needs, work, place, stop)
    try {
      const result = handler.handle(event, context)
      if (!(result instanceof Promise)) return done(this.#outcome(work, result, handler))
      return this.#awaited(result, context).then(
        (value) => done(this.#outcome(work, value, handler)),
        (error) => done(this.#failed(work, error, handler)),
      )
    } catch (error) {
      return done(this.#failed(work, error, handler))
    }
  }

  #outcome(work: Work, result: unknown, handler: NamedHandler): Outcome {
    if (result === undefined || result === null) return { kind: 'processed', work, enriched: null, rows: {} }
    const fault = faultOf(result)
    if (fault) return this.#failed(work, new TypeError(`handler ${handler.name} returned ${fault}`), handler)
    const { drop, enriched, rows } = result as HandlerResult
    if (drop !== undefined) return { kind: 'dropped', work, reason: drop }
    return { kind: 'processed', work, enriched: enriched ?? null, rows: rows ?? {} }
  }

  #failed(work: Work, error: unknown, handler: NamedHandler): Outcome {
    return afterFailure(work, failureOf(error, handler.name), this.#needs.policy)
  }

  async #awaited<T>(result: Promise<T>, context: LazyContext): Promise<T> {
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
