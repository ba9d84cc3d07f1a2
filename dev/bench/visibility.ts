import { randomUUID } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { connectTo, type Pulse } from './pulse.ts'

/** Follows single events from their acceptance until a query sees their row. */
export interface Visibility extends AsyncDisposable {
  /** Ends it; milliseconds from `received_at` until the row was there. Rejects if a probe did. */
  end(): Promise<{ probes: number; p95: number }>
}

const everyMs = 50
const askMs = 2
const seenMsMax = 20_000

/** Sends an event every 50 ms beside the load, one at a time. */
export async function watchVisibility(pulse: Pulse): Promise<Visibility> {
  const client = await connectTo(pulse.databaseUrl)
  const delays: number[] = []
  let stopped = false

  async function probe(): Promise<void> {
    const id = randomUUID()
    const answer = await fetch(`${pulse.url}/events`, {
      method: 'POST',
      headers: { authorization: `Bearer ${pulse.key}`, 'content-type': 'application/json' },
      body: JSON.stringify({ event_id: id, event_type: 'custom', user_id: `probe_${id.slice(0, 4)}` }),
    })
    if (answer.status !== 202) throw new Error(`a probe was answered with ${answer.status}`)
    const { received_at } = (await answer.json()) as { received_at: string }
    const receivedAt = Date.parse(received_at)
    for (;;) {
      const { rowCount } = await client.query({
        name: 'seen',
        text: 'select 1 from events where event_id = $1 and received_at >= $2',
        values: [id, received_at],
      })
      const ms = performance.timeOrigin + performance.now() - receivedAt
      if (rowCount === 1) return void delays.push(ms)
      if (ms > seenMsMax) throw new Error(`an event had no row after ${seenMsMax} ms`)
      await delay(askMs)
    }
  }

  const running = (async () => {
    while (!stopped) {
      await probe()
      await delay(everyMs)
    }
  })()
  running.catch(() => {}) // met by `end`
  return {
    async end() {
      stopped = true
      await running
      const sorted = delays.toSorted((a, b) => a - b)
      return { probes: sorted.length, p95: sorted[Math.ceil(sorted.length * 0.95) - 1] ?? Number.NaN }
    },
    async [Symbol.asyncDispose]() {
      stopped = true
      await running.catch(() => {})
      await client.end()
    },
  }
}
