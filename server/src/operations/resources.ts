import { statfs } from 'node:fs/promises'
import { monitorEventLoopDelay, performance } from 'node:perf_hooks'

/** The disk that holds the data folder. `usedRatio` is what `df` calls Use%, between 0 and 1. */
export interface Disk {
  readonly usedRatio: number
  readonly freeBytes: number
  /** What is used and what is free, together. */
  readonly totalBytes: number
}

/** Measures the disk under a folder. Rejects like `fs.statfs` when the folder is not there. */
export async function measureDisk(folder: string): Promise<Disk> {
  const { blocks, bfree, bavail, bsize } = await statfs(folder)
  const used = blocks - bfree
  // Like df: blocks that only root may use count neither as free nor as part of the whole.
  return {
    usedRatio: used + bavail === 0 ? 0 : used / (used + bavail),
    freeBytes: bavail * bsize,
    totalBytes: (used + bavail) * bsize,
  }
}

const resolutionMs = 10

/** Makes what tells the share of time, 0 to 1, in which the event loop was busy since it was last asked. */
export function createBusyWatch(): () => number {
  let before = performance.eventLoopUtilization()
  return () => {
    const now = performance.eventLoopUtilization()
    const { utilization } = performance.eventLoopUtilization(now, before)
    before = now
    return utilization
  }
}

/** How late timers fire, second by second: what a request waits because the process is busy with another. */
export class EventLoopWatch implements Disposable {
  #delays = monitorEventLoopDelay({ resolution: resolutionMs })
  #utilization = performance.eventLoopUtilization()

  /** Starts measuring. */
  start(): void {
    this.#delays.enable()
  }

  /** 99th percentile of the delay in milliseconds since the last call. */
  takeP99Ms(): number {
    // The histogram holds the whole time between two ticks of its timer, so its own interval comes off.
    const p99 = this.#delays.count === 0 ? 0 : this.#delays.percentile(99) / 1e6 - resolutionMs
    this.#delays.reset()
    return Math.max(0, p99)
  }

  /** Share of time, 0 to 1, in which the event loop was busy since the start. */
  utilization(): number {
    return performance.eventLoopUtilization(this.#utilization).utilization
  }

  [Symbol.dispose](): void {
    this.#delays.disable()
  }
}
