import { setTimeout as delay } from 'node:timers/promises'
import { type MemoryUse, memoryOf } from './memory-use.ts'
import { median } from './statistics.ts'

/** Memory over a time. */
export interface MemorySamples extends AsyncDisposable {
  /** Ends it. Growth: median of the last quarter against that of the first, 0.1 for a tenth more (PSS). */
  end(): Promise<{ growth: number; first: number; last: number; most: MemoryUse }>
}

const everyMs = 250

/** Looks at the memory of these processes four times a second; which they are is asked each time. */
export function sampleMemory(pids: () => readonly number[] | Promise<readonly number[]>): MemorySamples {
  const samples: MemoryUse[] = []
  let stopped = false
  const running = (async () => {
    while (!stopped) {
      samples.push(await memoryOf(await pids()))
      await delay(everyMs)
    }
  })()
  running.catch(() => {}) // met by `end`
  return {
    async end() {
      stopped = true
      await running
      const quarter = Math.max(1, samples.length >> 2)
      const first = median(samples.slice(0, quarter).map((use) => use.pssBytes))
      const last = median(samples.slice(-quarter).map((use) => use.pssBytes))
      const most = {
        pssBytes: Math.max(...samples.map((use) => use.pssBytes)),
        rssBytes: Math.max(...samples.map((use) => use.rssBytes)),
      }
      return { growth: last / first - 1, first, last, most }
    },
    async [Symbol.asyncDispose]() {
      stopped = true
      await running.catch(() => {})
    },
  }
}
