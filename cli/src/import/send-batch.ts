import { type CallOptions, type Client, PulseError } from '@pulse/client'
import type { SubmittedEvent } from '@pulse/protocol/event'
import type { BatchItem } from '@pulse/protocol/receipt'
import type { BadRecord } from './bad-records.ts'
import type { ImportCounts } from './import-state.ts'

/** An event that is ready to be sent, with the record that it came from. */
export interface ReadyEvent {
  readonly event: SubmittedEvent
  readonly line: number
  readonly record: number
  readonly text: string
}

/** What became of a batch: its counts, and each record that was refused for good. */
export interface BatchOutcome {
  readonly counts: ImportCounts
  readonly bad: readonly BadRecord[]
}

// The server judged the request as a whole and not event by event: one of its events is to blame.
const blamesOneEvent = (error: PulseError) => [400, 413, 422].includes(error.status ?? 0)

/**
 * Sends events until each has its verdict. A request that is refused as a whole is cut in halves until the event
 * that is to blame stands alone. Throws PulseError when the server cannot take them.
 */
export async function sendBatch(
  client: Client,
  ready: readonly ReadyEvent[],
  options: CallOptions,
): Promise<BatchOutcome> {
  if (ready.length === 0) return nothing
  try {
    const { results } = await client.events.publishBatch(
      ready.map(({ event }) => event),
      options,
    )
    const { outcome, again } = judge(ready, results)
    if (again.length === 0) return outcome
    // The client has waited as often as it may. As long as some events pass, the rest is worth more waiting.
    if (again.length === ready.length) throw stillRefused(results[0])
    return join(outcome, await sendBatch(client, again, options))
  } catch (error) {
    if (!(error instanceof PulseError) || error.retryable || !blamesOneEvent(error)) throw error
    const [only] = ready
    if (only && ready.length === 1)
      return { counts: { ...none, rejected: 1 }, bad: [badRecord(only, error.detail)] }
    const half = ready.length >> 1
    const before = await sendBatch(client, ready.slice(0, half), options)
    return join(before, await sendBatch(client, ready.slice(half), options))
  }
}

const none: ImportCounts = { accepted: 0, duplicates: 0, rejected: 0 }
const nothing: BatchOutcome = { counts: none, bad: [] }

function judge(ready: readonly ReadyEvent[], results: readonly BatchItem[]) {
  const bad: BadRecord[] = []
  const again: ReadyEvent[] = []
  let accepted = 0
  let duplicates = 0
  ready.forEach((one, at) => {
    const item = results[at]
    if (item?.status === 'accepted') accepted++
    else if (item?.status === 'duplicate') duplicates++
    else if (item?.status === 'invalid') bad.push(badRecord(one, reasonOf(item)))
    else if (item?.status === 'conflict') bad.push(badRecord(one, conflictReason(one)))
    else again.push(one)
  })
  return { outcome: { counts: { accepted, duplicates, rejected: bad.length }, bad }, again }
}

const badRecord = ({ line, record, text }: ReadyEvent, reason: string): BadRecord => ({
  line,
  record,
  reason,
  text,
})

const reasonOf = ({ errors }: Extract<BatchItem, { status: 'invalid' }>) =>
  errors.map(({ pointer, detail }) => `${pointer || '/'} ${detail}`).join('; ')

const conflictReason = ({ event }: ReadyEvent) =>
  `event_id ${event.event_id} stands for another event already; was this imported with another mapping?`

function stillRefused(item: BatchItem | undefined): PulseError {
  if (item?.status === 'throttled')
    return new PulseError({
      code: 'over_budget',
      detail: 'The server takes no more events.',
      status: 429,
      retryAfter: item.retry_after,
    })
  const detail = item && 'detail' in item ? item.detail : 'The server could not take the events.'
  return new PulseError({ code: 'unavailable', detail, status: 503 })
}

/** The sum of two outcomes. */
function join(one: BatchOutcome, other: BatchOutcome): BatchOutcome {
  return { counts: addCounts(one.counts, other.counts), bad: [...one.bad, ...other.bad] }
}

/** The sum of two counts. */
export function addCounts(one: ImportCounts, other: ImportCounts): ImportCounts {
  return {
    accepted: one.accepted + other.accepted,
    duplicates: one.duplicates + other.duplicates,
    rejected: one.rejected + other.rejected,
  }
}
