/**
 * The pace of a replay: records are sent at the distances in time that their own timestamps have, stretched or squeezed
 * to a length that was asked for.
 */
import type { SubmittedEvent } from '@pulse/protocol/event'
import { exitCodes } from '../exit-code.ts'
import { CommandError } from '../failure.ts'
import type { ToEvent } from './mapping.ts'
import type { FileRecord } from './records.ts'

/** First and last time of a file's events, in milliseconds since 1970. */
export interface TimeSpan {
  readonly first: number
  readonly last: number
}

/** When events are due. */
export interface Pace {
  /**
   * Milliseconds from the first event of this run until this one is due. An event without a time, or from before its
   * predecessors, is due with them: the order of the file is kept.
   */
  dueMs(event: SubmittedEvent): number
}

/** Reads all records once for their times. Throws CommandError if there are no two different ones. */
export async function timeSpanOf(records: AsyncIterable<FileRecord>, toEvent: ToEvent): Promise<TimeSpan> {
  let first = Number.POSITIVE_INFINITY
  let last = Number.NEGATIVE_INFINITY
  for await (const { number, parsed } of records) {
    const event = 'problem' in parsed ? undefined : toEvent(parsed.values, number)
    const at = event === undefined || typeof event === 'string' ? undefined : timeOf(event)
    if (at === undefined) continue
    first = Math.min(first, at)
    last = Math.max(last, at)
  }
  if (first < last) return { first, last }
  throw new CommandError(
    exitCodes.usage,
    'There is nothing to replay: the records have no different times',
    '--map timestamp=COLUMN',
  )
}

/** Makes the pace: the whole of `span` in `overMs`, or as it was when that is left out. */
export function createPace(span: TimeSpan, overMs: number | undefined): Pace {
  const factor = overMs === undefined ? 1 : overMs / (span.last - span.first)
  let begin: number | undefined
  let due = 0
  return {
    dueMs(event) {
      const at = timeOf(event)
      if (at === undefined) return due
      begin ??= at
      due = Math.max(due, (at - begin) * factor)
      return due
    },
  }
}

function timeOf({ timestamp }: SubmittedEvent): number | undefined {
  const at = timestamp === undefined ? Number.NaN : Date.parse(timestamp)
  return Number.isNaN(at) ? undefined : at
}
