export interface SendingNeeds {
  readonly concurrencyMax: number
  /**
   * Makes one attempt of what is the first of its key now; undefined if there is nothing. Rejects when nothing may be
   * sent any more. `signal`: the attempt is called off.
   */
  readonly attempt: (key: string, signal: AbortSignal) => Promise<void> | undefined
}

/** When something of a key is sent: keys side by side, each when it is ready, none while the receiver wants quiet. */
export class Sending {
  readonly #needs: SendingNeeds
  /** Keys whose first letter may be sent now. */
  readonly #ready: string[] = []
  readonly #timers = new Set<NodeJS.Timeout>()
  readonly #running = new Set<Promise<void>>()
  readonly #stop = new AbortController()
  #quietUntil = 0
  /** A timer ends the quiet. */
  #isWaiting = false
  #isStopping = false

  constructor(needs: SendingNeeds) {
    this.#needs = needs
  }

  /** The first letter of this key may be sent as soon as there is a place for it. */
  ready(key: string): void {
    this.#ready.push(key)
    this.#pump()
  }

  /** As `ready`, once so long has passed. */
  readyAfter(key: string, ms: number): void {
    this.#later(ms, () => this.ready(key))
  }

  /** Nothing at all is sent for so long. */
  quiet(ms: number): void {
    this.#quietUntil = Math.max(this.#quietUntil, performance.now() + ms)
  }

  /** Nothing more is sent, ever; what is on its way goes on. */
  halt(): void {
    this.#isStopping = true
  }

  /** As `halt`; resolves when what is on its way has been answered, or was called off after `graceMs`. */
  async stop(graceMs: number): Promise<void> {
    this.halt()
    for (const timer of this.#timers) clearTimeout(timer)
    if (graceMs === 0) this.#stop.abort()
    const timer = setTimeout(() => this.#stop.abort(), graceMs)
    await Promise.all(this.#running)
    clearTimeout(timer)
  }

  #pump(): void {
    if (this.#isStopping) return
    const quietMs = this.#quietUntil - performance.now()
    if (quietMs > 0) this.#pumpAfter(quietMs)
    else this.#sendReady()
  }

  #sendReady(): void {
    while (this.#running.size < this.#needs.concurrencyMax) {
      const key = this.#ready.shift()
      if (key === undefined) return
      const attempt = this.#needs.attempt(key, this.#stop.signal)
      if (!attempt) continue
      const run = attempt
        .catch(() => this.halt())
        .finally(() => {
          this.#running.delete(run)
          this.#pump()
        })
      this.#running.add(run)
    }
  }

  #pumpAfter(ms: number): void {
    if (this.#isWaiting) return
    this.#isWaiting = true
    this.#later(ms, () => {
      this.#isWaiting = false
      this.#pump()
    })
  }

  #later(ms: number, work: () => void): void {
    if (this.#isStopping) return
    const timer = setTimeout(() => {
      this.#timers.delete(timer)
      if (!this.#isStopping) work()
    }, ms)
    this.#timers.add(timer)
  }
}
