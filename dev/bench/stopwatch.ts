/** Times many short calls, each by the wall clock and by the CPU time of this thread. */
export class Stopwatch {
  /** Of every call, in microseconds. */
  readonly wallUs: number[] = []
  totalMs = 0
  totalCpuMs = 0
  longestCpuMs = 0

  /** Runs the call and notes how long it took. */
  time<T>(call: () => T): T {
    const cpuBefore = process.threadCpuUsage()
    const startedMs = performance.now()
    const result = call()
    const tookMs = performance.now() - startedMs
    const { user, system } = process.threadCpuUsage(cpuBefore)
    const cpuMs = (user + system) / 1_000
    this.wallUs.push(tookMs * 1_000)
    this.totalMs += tookMs
    this.totalCpuMs += cpuMs
    this.longestCpuMs = Math.max(this.longestCpuMs, cpuMs)
    return result
  }
}
