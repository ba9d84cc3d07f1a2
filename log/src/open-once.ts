import { type Capabilities, type EventLog, LogError } from './log.ts'

/**
 * The rules of life of a log, once for all drivers, so that a driver stays naive: it opens, works and lets go.
 *
 * - `open` opens once: callers at the same time share one opening, later ones get the same log. An opening that
 *   failed is told to those who waited for it, and the next call tries again.
 * - After close has begun, `open` and every member but `can` throw LogError `closed`, and reads end with it.
 * - Close waits for what was accepted before (appends above all), then disposes the driver. Twice is harmless.
 */
export interface LogLife extends AsyncDisposable {
  /** The guarded log; disposing it is disposing this. Throws what the driver's opening threw, or `closed`. */
  open(): Promise<EventLog>
}

/** Wraps the opening of any driver. Nothing is opened yet. */
export function openOnce(open: () => Promise<EventLog>): LogLife {
  const closing = new AbortController()
  let opening: Promise<GuardedLog> | undefined
  let closed: Promise<void> | undefined

  const close = async () => {
    closing.abort()
    const log = await opening?.catch(() => undefined)
    await log?.letGo()
  }
  const dispose = () => {
    closed ??= close()
    return closed
  }
  const openNow = async () => {
    try {
      return new GuardedLog(await open(), closing.signal, dispose)
    } catch (error) {
      opening = undefined
      throw error
    }
  }
  return {
    open: async () => {
      refuseIfClosed(closing.signal)
      opening ??= openNow()
      const log = await opening
      // Closed while it was opening: whoever closed it lets the driver go, and nobody may use it.
      refuseIfClosed(closing.signal)
      return log
    },
    [Symbol.asyncDispose]: dispose,
  }
}

function refuseIfClosed(closing: AbortSignal): void {
  if (closing.aborted) throw new LogError('closed', 'the log is closed')
}

class GuardedLog implements EventLog {
  readonly #log: EventLog
  readonly #closing: AbortSignal
  readonly #dispose: () => Promise<void>
  // Everything accepted and not settled: close waits for it. Reads count only while they are asked for a batch,
  // since a reader that holds one may take for ever.
  readonly #accepted = new Set<Promise<unknown>>()

  constructor(log: EventLog, closing: AbortSignal, dispose: () => Promise<void>) {
    this.#log = log
    this.#closing = closing
    this.#dispose = dispose
  }

  get can(): Capabilities {
    return this.#log.can
  }

  append(...args: Parameters<EventLog['append']>): ReturnType<EventLog['append']> {
    return this.#accept(() => this.#log.append(...args))
  }

  bounds(...args: Parameters<EventLog['bounds']>): ReturnType<EventLog['bounds']> {
    return this.#accept(() => this.#log.bounds(...args))
  }

  declare(...args: Parameters<EventLog['declare']>): ReturnType<EventLog['declare']> {
    return this.#accept(() => this.#log.declare(...args))
  }

  trim(...args: Parameters<EventLog['trim']>): ReturnType<EventLog['trim']> {
    return this.#accept(() => this.#log.trim(...args))
  }

  async *read(...[from, signal]: Parameters<EventLog['read']>): ReturnType<EventLog['read']> {
    refuseIfClosed(this.#closing)
    // Not AbortSignal.any: a read may last as long as the process, and its entries there would stay as long.
    const stop = new AbortController()
    const abort = () => stop.abort()
    if (signal.aborted) abort()
    signal.addEventListener('abort', abort)
    this.#closing.addEventListener('abort', abort)
    const batches = this.#log.read(from, stop.signal)[Symbol.asyncIterator]()
    try {
      for (;;) {
        const next = await this.#accept(() => batches.next())
        if (next.done) break
        yield next.value
      }
      if (!signal.aborted) refuseIfClosed(this.#closing)
    } finally {
      signal.removeEventListener('abort', abort)
      this.#closing.removeEventListener('abort', abort)
      abort()
      await batches.return?.()
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#dispose()
  }

  /** Waits for what was accepted, then disposes the driver. */
  async letGo(): Promise<void> {
    while (this.#accepted.size > 0) await Promise.allSettled(this.#accepted)
    await this.#log[Symbol.asyncDispose]()
  }

  async #accept<Result>(work: () => Promise<Result>): Promise<Result> {
    refuseIfClosed(this.#closing)
    const settling = work()
    this.#accepted.add(settling)
    try {
      return await settling
    } finally {
      this.#accepted.delete(settling)
    }
  }
}
