/**
 * Runs `work` once a second, never twice at a time, until disposed. A run that hangs is left behind after
 * `hungMs`, so that a lost connection cannot stop the watch for ever; its late result is not used.
 */
export class EverySecond implements AsyncDisposable {
  #work: (signal: AbortSignal) => Promise<void>
  #hungMs: number
  #timer: NodeJS.Timeout | undefined
  #running: { abort: AbortController; since: number; done: Promise<void> } | undefined
  #closed = false

  constructor(work: (signal: AbortSignal) => Promise<void>, hungMs = 10_000) {
    this.#work = work
    this.#hungMs = hungMs
  }

  /** Starts; resolves after the first run has ended or `patienceMs` are over, whichever is sooner. */
  async start(patienceMs: number): Promise<void> {
    this.#run()
    this.#timer = setInterval(() => this.#run(), 1_000)
    this.#timer.unref()
    await Promise.race([
      this.#running?.done,
      new Promise((resolve) => setTimeout(resolve, patienceMs).unref()),
    ])
  }

  #run(): void {
    if (this.#closed) return
    if (this.#running) {
      if (performance.now() - this.#running.since < this.#hungMs) return
      this.#running.abort.abort()
    }
    const abort = new AbortController()
    const running = { abort, since: performance.now(), done: Promise.resolve() }
    this.#running = running
    // The work reports its own failures; what escapes it must not end the process.
    running.done = this.#work(abort.signal)
      .catch(() => undefined)
      .finally(() => {
        if (this.#running === running) this.#running = undefined
      })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true
    clearInterval(this.#timer)
    this.#running?.abort.abort()
  }
}
