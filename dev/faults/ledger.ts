import { randomUUID } from 'node:crypto'
import { setTimeout as pause } from 'node:timers/promises'

/**
 * What producers know, kept outside of everything that is broken on purpose. An event is `acked` (must be there once),
 * `refused` (must not be there) or `unknown` (no answer came: there at most once). Producers repeat what is unknown
 * with the same id until it is answered, as clients do.
 */
export class Ledger {
  readonly acked = new Map<string, string>()
  readonly unknown = new Set<string>()
  readonly refused = new Set<string>()
  readonly receiptsChanged: string[] = []
  /** Answers that no fault excuses: neither success, nor 429 or 503 that say when to come back. */
  readonly wrongAnswers: string[] = []
  offered = 0

  ack(id: string, position: string): void {
    const before = this.acked.get(id)
    if (before !== undefined && before !== position) this.receiptsChanged.push(id)
    this.acked.set(id, position)
    this.unknown.delete(id)
  }
}

interface Target {
  readonly url: () => string
  readonly key: string
}

interface Result {
  readonly status: string
  readonly event_id: string | null
  readonly receipt?: { readonly position: string }
}

/**
 * Sends batches of events of a few keys, one request after the other, until the signal aborts, through every failure.
 * Every event carries its number within its key, so that order can be checked as well.
 */
export async function produce(
  target: Target,
  ledger: Ledger,
  options: { key: string; batch: number; random: () => number; signal: AbortSignal },
): Promise<void> {
  let number = 0
  while (!options.signal.aborted) {
    const events = Array.from({ length: 1 + Math.floor(options.random() * options.batch) }, () => ({
      event_id: randomUUID(),
      event_type: 'custom',
      user_id: options.key,
      properties: { n: number++, pad: 'x'.repeat(Math.floor(options.random() * 200)) },
    }))
    for (const event of events) ledger.unknown.add(event.event_id)
    ledger.offered += events.length
    await sendUntilAnswered(target, ledger, events, options.signal)
  }
}

async function sendUntilAnswered(
  target: Target,
  ledger: Ledger,
  events: readonly { readonly event_id: string }[],
  signal: AbortSignal,
): Promise<void> {
  let left = events
  while (left.length > 0) {
    const results = await send(target, ledger, left)
    for (const result of results ?? []) {
      if (result.event_id === null) continue
      if (result.receipt) ledger.ack(result.event_id, result.receipt.position)
      else if (result.status === 'invalid' || result.status === 'conflict') {
        ledger.refused.add(result.event_id)
        ledger.unknown.delete(result.event_id)
      }
    }
    left = left.filter((event) => ledger.unknown.has(event.event_id))
    if (left.length > 0 && signal.aborted) return
    if (results === undefined) await pause(50)
  }
}

/** The verdicts, or undefined if no answer came that says anything. */
async function send(
  target: Target,
  ledger: Ledger,
  events: readonly unknown[],
): Promise<readonly Result[] | undefined> {
  try {
    const answer = await fetch(`${target.url()}/events`, {
      method: 'POST',
      headers: { authorization: `Bearer ${target.key}`, 'content-type': 'application/json' },
      body: JSON.stringify(events),
      signal: AbortSignal.timeout(30_000),
    })
    const text = await answer.text()
    const saysWhen = [429, 503].includes(answer.status) && answer.headers.has('retry-after')
    if (!answer.ok && !saysWhen) ledger.wrongAnswers.push(`${answer.status} ${text.slice(0, 200)}`)
    return (JSON.parse(text) as { results?: Result[] }).results
  } catch {
    return undefined
  }
}
