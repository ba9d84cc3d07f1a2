import type { EventLog } from '@pulse/log'
import type { Event } from '@pulse/protocol/event'
import { type Position, parsePosition } from '@pulse/protocol/position'
import { ProblemError } from '../http/problem-error.ts'
import { matches, whyNot } from '../subscriptions/matches.ts'
import type { FilterVersion, Subscriptions } from '../subscriptions/subscriptions.ts'
import type { Tree } from '../subscriptions/tree.ts'
import type { Delivery } from './delivery.ts'
import { type Place, type StreamSays, streamSays, type Tells } from './stream-outcome.ts'

export interface ExplainNeeds {
  readonly log: EventLog
  readonly delivery: Delivery
  readonly subscriptions: Pick<Subscriptions, 'versions'>
  /** An event and its position. Rejects with ProblemError `not_found`. */
  readonly findEvent: (eventId: string) => Promise<{ event: Event; position: string }>
}

/** What one filter of the subscriber says of the event. */
export interface FilterSays {
  readonly name: string
  readonly version: number
  /** Whether this version held where the event stands: one stored later says nothing of earlier events. */
  readonly applies: 'yes' | 'stored_later' | 'changed_before'
  readonly matches: boolean
  /** The tests that failed, in words. */
  readonly failed: string[]
}

/** Why a subscriber got an event, or did not. */
export interface Explanation {
  readonly event_id: string
  readonly subscriber: string
  readonly position: string
  readonly verdict: 'matches' | 'no_filter' | 'filter_stored_later' | 'filter_changed' | 'does_not_match'
  readonly answer: string
  /** False once retention has taken the event from the log, or that is another one: no replay can bring it any more. */
  readonly replayable: boolean
  readonly filters: FilterSays[]
  readonly streams: StreamSays[]
}

export interface AskedToExplain {
  readonly eventId: string
  readonly subscriber: string
  /** What the credential of who asks lets through at most. */
  readonly enforced: Tree | undefined
  readonly tells: Tells
}

/**
 * Explains one event to one subscriber: by its stored filters, and by each of its open streams. Rejects with ProblemError
 * `not_found`, or LogError `unavailable`. What `enforced` does not let through is not found, as if there were none.
 */
export async function explain(needs: ExplainNeeds, asked: AskedToExplain): Promise<Explanation> {
  const { event, position } = await needs.findEvent(asked.eventId)
  if (asked.enforced && !matches(asked.enforced, event))
    throw new ProblemError('not_found', 'There is no event with this id, or not any more.')
  const place = placeOf(position)
  const [versions, bounds] = await Promise.all([
    needs.subscriptions.versions(asked.subscriber),
    needs.log.bounds(place.topic),
  ])
  const { tells } = asked
  const filters = versions.map((version) => say(version, event, { place, life: bounds.epoch, tells }))
  const verdict = verdictOf(filters)
  const start = bounds.partitions.find(({ partition }) => partition === place.partition)?.start ?? 0
  const streams = needs.delivery
    .streams()
    // A webhook with a filter of its own follows no subscriber, but it is somebody's.
    .filter(({ owner }) => owner === asked.subscriber)
    .map((stream) => streamSays(stream, { event, place, isStored: verdict === 'matches', tells }))
  const replayable = bounds.epoch === place.epoch && place.offset >= start
  return {
    ...{ event_id: event.event_id, subscriber: asked.subscriber, position, verdict },
    answer: answerOf(verdict, filters, { subscriber: asked.subscriber, streams, replayable }),
    replayable,
    filters,
    streams,
  }
}

function placeOf(text: string): Place {
  const position = parsePosition(text)
  const [first] = position?.offsets ?? []
  if (!position || !first) throw new Error(`${text} is no position of an event`)
  return { topic: position.topic, epoch: position.epoch, partition: first[0], offset: first[1] }
}

/** What one version says. `life`: the epoch of the topic as it is now. */
function say(
  { name, version, tree, stored, ended }: FilterVersion,
  event: Event,
  { place, life, tells: { values } }: { place: Place; life: number; tells: Tells },
): FilterSays {
  const isEnded = ended !== null && !isBefore(place, ended, life)
  const applies = isBefore(place, stored, life) ? 'stored_later' : isEnded ? 'changed_before' : 'yes'
  const isMatch = matches(tree, event)
  return { name, version, applies, matches: isMatch, failed: [...whyNot(tree, event, { values })] }
}

/**
 * Whether an event stands before the place of a change. Offsets of different lives of a topic say nothing of each other:
 * the life of now is the later one, and of two before it PostgreSQL's epochs rise. Where the topic was not there
 * yet, all of it comes behind the change.
 */
function isBefore({ topic, epoch, partition, offset }: Place, changed: readonly Position[], life: number) {
  const at = changed.find((each) => each.topic === topic)
  if (!at) return false
  if (at.epoch === epoch) return offset < (at.offsets.get(partition) ?? 0)
  return epoch !== life && (at.epoch === life || at.epoch > epoch)
}

function verdictOf(filters: readonly FilterSays[]): Explanation['verdict'] {
  if (filters.length === 0) return 'no_filter'
  if (filters.some(({ applies, matches: isMatch }) => applies === 'yes' && isMatch)) return 'matches'
  const matching = filters.filter(({ matches: isMatch }) => isMatch)
  if (matching.some(({ applies }) => applies === 'stored_later')) return 'filter_stored_later'
  return matching.length > 0 ? 'filter_changed' : 'does_not_match'
}

function answerOf(
  verdict: Explanation['verdict'],
  filters: readonly FilterSays[],
  {
    subscriber,
    streams,
    replayable,
  }: { subscriber: string; streams: readonly StreamSays[]; replayable: boolean },
): string {
  // A stream that nothing of it is for has nothing to add.
  const others = streams.filter(({ outcome }) => outcome !== 'no_match').map(({ answer }) => answer)
  const first = verdictInWords(verdict, filters, subscriber)
  if (verdict === 'matches' && others.length === 0)
    return replayable
      ? `${first}: whoever was connected then, or resumes from before it, gets it.`
      : `${first}: whoever was connected then has got it. No replay brings it any more.`
  return [verdict === 'matches' ? `${first}.` : first, ...new Set(others)].join(' ')
}

function verdictInWords(
  verdict: Explanation['verdict'],
  filters: readonly FilterSays[],
  subscriber: string,
): string {
  switch (verdict) {
    case 'no_filter':
      return `${subscriber} has no stored filter.`
    case 'matches':
      return `It matches ${names(filters.filter(({ applies, matches: is }) => applies === 'yes' && is))}`
    case 'filter_stored_later':
      return 'The filter that matches it was stored after the event, and a filter holds from its place in the log on.'
    case 'filter_changed':
      return 'A filter that matched it was changed or deleted before the event.'
    case 'does_not_match':
      return `No filter matches it. ${reasons(filters)}`
  }
}

/** Why not, by the filters that held where the event stands; if none did, by those that there are. */
function reasons(filters: readonly FilterSays[]): string {
  const held = filters.filter(({ applies }) => applies === 'yes')
  return (held.length > 0 ? held : filters)
    .map(({ name, failed }) => `${name}: ${failed.join('; ')}`)
    .join('. ')
}

const names = (filters: readonly FilterSays[]) => filters.map(({ name }) => name).join(', ')
