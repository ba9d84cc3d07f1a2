import { createHistogram } from 'node:perf_hooks'
import { Lane, type Outcome } from './lane.ts'

export interface LoadPlan {
  readonly url: URL
  readonly headers: Readonly<Record<string, string>>
  /** Makes the body of each request; `dueAt` is when it is due (performance.now()). */
  readonly body: (dueAt: number) => string
  readonly requests: number
  /** Requests per second. */
  readonly rate: number
  readonly connections: number
  /** Time after which a request counts as failed. */
  readonly timeoutMsMax: number
  /** Ends the run early; what was sent is counted. */
  readonly signal: AbortSignal
  /** Told about ten times a second how many requests have ended. */
  readonly onProgress: (ended: number) => void
}

export interface LoadResult {
  readonly sent: number
  readonly succeeded: number
  readonly failed: number
  /** Failures by status or error code. */
  readonly failures: Readonly<Record<string, number>>
  /** 0 to 1. */
  readonly success_rate: number
  readonly seconds: number
  /** Requests per second that had their answer. */
  readonly rate_reached: number
  /** From the intended start of each request to the end of its answer, of those that succeeded. */
  readonly latency_ms: {
    readonly min: number
    readonly mean: number
    readonly p50: number
    readonly p95: number
    readonly p99: number
    readonly max: number
  } | null
}

const tickMs = 1
const sweepMs = 100

/**
 * Sends requests on a fixed schedule, whatever the server does. Request number i is due at i / rate; its latency
 * counts from there, also when it had to wait for a free connection, because a user would have waited too
 * (otherwise a server that stalls would be asked less, and look better). Rejects if no connection can be opened.
 */
export async function runOpenLoop(plan: LoadPlan): Promise<LoadResult> {
  const lanes = Array.from({ length: plan.connections }, () => new Lane(plan))
  try {
    await Promise.all(lanes.map((lane) => lane.open()))
    return await drive(plan, lanes)
  } finally {
    for (const lane of lanes) lane.close()
  }
}

function drive(plan: LoadPlan, lanes: readonly Lane[]): Promise<LoadResult> {
  const tally = createTally()
  const free = [...lanes]
  const startedAt = performance.now()
  let sent = 0
  let ended = 0

  function sendDue(): void {
    const elapsedMs = performance.now() - startedAt
    const due = Math.min(plan.requests, Math.floor((elapsedMs * plan.rate) / 1000) + 1)
    while (sent < due && !plan.signal.aborted) {
      const lane = free.pop()
      if (lane === undefined) return
      const intendedAt = startedAt + (sent * 1000) / plan.rate
      sent++
      lane.send(plan.body(intendedAt), (outcome) => {
        tally.add(outcome, performance.now() - intendedAt)
        ended++
        free.push(lane)
      })
    }
  }

  return new Promise((resolve) => {
    let sweptAt = startedAt
    function tick(): void {
      sendDue()
      const now = performance.now()
      if (now - sweptAt >= sweepMs) {
        sweptAt = now
        for (const lane of lanes) lane.expire(now - plan.timeoutMsMax)
        plan.onProgress(ended)
      }
      const complete = ended === sent && (sent === plan.requests || plan.signal.aborted)
      if (complete) resolve(tally.result((tally.lastAt() ?? now) - startedAt))
      else setTimeout(tick, tickMs)
    }
    tick()
  })
}

function createTally() {
  // Microseconds: a histogram of whole milliseconds would round the fast answers away.
  const latency = createHistogram({ figures: 3 })
  const failures: Record<string, number> = {}
  let succeeded = 0
  let failed = 0
  let last: number | undefined
  const ms = (micros: number) => micros / 1000
  return {
    lastAt: () => last,
    add(outcome: Outcome, latencyMs: number): void {
      last = performance.now()
      if (typeof outcome === 'number' && outcome >= 200 && outcome < 300) {
        succeeded++
        latency.record(Math.max(1, Math.round(latencyMs * 1000)))
        return
      }
      failed++
      failures[outcome] = (failures[outcome] ?? 0) + 1
    },
    result(elapsedMs: number): LoadResult {
      const sent = succeeded + failed
      const seconds = elapsedMs / 1000
      const { min, mean, max } = latency
      const [p50, p95, p99] = [50, 95, 99].map((rank) => ms(latency.percentile(rank))) as [
        number,
        number,
        number,
      ]
      const measured = { min: ms(min), mean: ms(mean), p50, p95, p99, max: ms(max) }
      return {
        sent,
        succeeded,
        failed,
        failures,
        success_rate: sent === 0 ? 0 : succeeded / sent,
        seconds,
        rate_reached: seconds === 0 ? 0 : sent / seconds,
        latency_ms: succeeded === 0 ? null : measured,
      }
    },
  }
}
