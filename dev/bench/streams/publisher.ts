import { randomUUID } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import type { Pulse } from '../pulse.ts'
import { sharedNow } from './shared-clock.ts'

export interface Publication {
  readonly eventsPerSecond: number
  /** Events of one request. */
  readonly batch: number
  readonly ms: number
  /** Properties of the event with this number, beside `sent` and what fills it up to its size. */
  readonly properties: (number: number) => Record<string, unknown>
}

/** Publishes on a fixed schedule; returns how many events were accepted. Rejects if one is refused. */
export async function publish(pulse: Pulse, plan: Publication): Promise<number> {
  const everyMs = (plan.batch / plan.eventsPerSecond) * 1_000
  const from = performance.now()
  const running = new Set<Promise<void>>()
  let sent = 0
  for (let round = 0; round * everyMs < plan.ms; round++) {
    const wait = from + round * everyMs - performance.now()
    if (wait > 0) await delay(wait)
    const first = sent
    sent += plan.batch
    const request = send(
      pulse,
      Array.from({ length: plan.batch }, (_, n) => anEvent(plan.properties(first + n))),
    )
    const done = request.finally(() => running.delete(done))
    running.add(done)
    if (running.size >= 64) await Promise.race(running)
  }
  await Promise.all(running)
  return sent
}

/** Sends events in one request. Rejects if one is refused. */
export async function send(pulse: Pulse, events: readonly object[]): Promise<void> {
  const response = await fetch(`${pulse.url}/events`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: `Bearer ${pulse.key}` },
    body: JSON.stringify(events.length === 1 ? events[0] : events),
  })
  const text = await response.text()
  if (!response.ok || text.includes('"status":"retry"'))
    throw new Error(`${response.status}: ${text.slice(0, 300)}`)
}

/** An event of about 240 bytes as it is delivered. */
export function anEvent(properties: Record<string, unknown>): object {
  return {
    event_id: randomUUID(),
    event_type: 'bench.happened',
    user_id: `user_${Math.floor(Math.random() * 10_000)}`,
    properties: { ...properties, sent: sharedNow() },
  }
}
