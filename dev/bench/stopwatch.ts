/** Times many short calls. */
export class Stopwatch {
  readonly #keep: boolean
  /** Of every call, if they are kept: microseconds by the wall clock. */
  readonly wallUs: number[] = []
  totalMs = 0
  longestMs = 0
  /**
   * The longest call without the turns that other processes took: the lesser of its wall time and its CPU time, of which
   * the kernel keeps account to 4 ms.
   */
  longestOwnMs = 0

  constructor(of: { keep: boolean }) {
    this.#keep = of.keep
  }

  /** Runs the call and notes how long it took. */
  time<T>(call: () => T): T {
    const cpuBefore = process.threadCpuUsage()
    const startedMs = performance.now()
    const result = call()
    const tookMs = performance.now() - startedMs
    const { user, system } = process.threadCpuUsage(cpuBefore)
    if (this.#keep) this.wallUs.push(tookMs * 1_000)
    this.totalMs += tookMs
    this.longestMs = Math.max(this.longestMs, tookMs)
    this.longestOwnMs = Math.max(this.longestOwnMs, Math.min(tookMs, (user + system) / 1_000))
    return result
  }
}
