import type { SubmittedEvent } from '@pulse/protocol/event'
import type { BatchItem, BatchResult, Receipt } from '@pulse/protocol/receipt'
import { newEventId } from './event-id.ts'
import { PulseError } from './pulse-error.ts'
import type { CallOptions, Transport } from './transport.ts'

/** What the server says of an event that it accepted. */
export interface Accepted {
  readonly event_id: string
  readonly status: 'accepted'
  readonly message: string
  readonly received_at: string
  readonly receipt: Receipt
}

// The id is made here and not by the server, so that a request whose answer was lost can be sent again.
const withId = (event: SubmittedEvent): SubmittedEvent =>
  event.event_id === undefined ? { event_id: newEventId(), ...event } : event

/** Publishes one event and gives its receipt. Throws PulseError. */
export async function publish(
  transport: Transport,
  event: SubmittedEvent,
  options?: CallOptions,
): Promise<Accepted> {
  const call = { method: 'POST', path: '/events', body: withId(event), repeatable: true } as const
  return (await transport.send<Accepted>(call, options)).body
}

/**
 * Publishes a batch and gives a verdict on each event, in the order given. Events that the server asks to send
 * again (`throttled`, `retry`) are sent again by themselves until the options say stop; what then remains keeps
 * that verdict. Throws PulseError when there is no verdict at all.
 */
export async function publishBatch(
  transport: Transport,
  events: readonly SubmittedEvent[],
  options?: CallOptions,
): Promise<BatchResult> {
  const results: BatchItem[] = new Array(events.length)
  let open = events.map((event, at) => ({ at, event: withId(event) }))
  for (let attempt = 0; open.length > 0; attempt++) {
    const verdicts = await send(
      transport,
      open.map((one) => one.event),
      options,
    )
    const again: typeof open = []
    let waitSeconds: number | undefined
    open.forEach((one, index) => {
      const verdict = verdicts.results[index]
      if (verdict === undefined) return
      results[one.at] = verdict
      if (verdict.status === 'throttled') waitSeconds = Math.max(waitSeconds ?? 0, verdict.retry_after)
      if (verdict.status === 'throttled' || verdict.status === 'retry') again.push(one)
    })
    open = again
    if (open.length > 0 && !(await transport.waitToRepeat(attempt, waitSeconds, options))) break
  }
  return countVerdicts(results)
}

async function send(
  transport: Transport,
  body: readonly SubmittedEvent[],
  options?: CallOptions,
): Promise<BatchResult> {
  // A batch of which nothing was accepted is answered with one of these, and still with every verdict.
  const answers = [409, 422, 429, 503]
  const call = { method: 'POST', path: '/events', body, repeatable: true, answers } as const
  const answer = await transport.send<BatchResult>(call, options)
  if (answer.body.results?.length === body.length) return answer.body
  const detail = 'The answer does not have one verdict per event.'
  throw new PulseError({ code: 'unexpected_answer', detail, status: answer.status })
}

function countVerdicts(results: BatchItem[]): BatchResult {
  let accepted = 0
  let duplicates = 0
  for (const { status } of results) {
    if (status === 'accepted') accepted++
    if (status === 'duplicate') duplicates++
  }
  return { accepted, duplicates, rejected: results.length - accepted - duplicates, results }
}
