import type { Event } from '@pulse/protocol/event'
import type { GapReason } from '@pulse/protocol/frames'
import { matches, whyNot } from '../subscriptions/matches.ts'
import type { Tree } from '../subscriptions/tree.ts'
import type { TransportName } from './report.ts'
import type { Stream } from './stream.ts'

/**
 * What became of an event on an open stream. First what keeps it away wherever the stream stands, then where it stands; the
 * first line that holds is the answer:
 *
 * | Outcome | holds if |
 * |---|---|
 * | `no_permission` | the filter that the credential enforces does not let it through |
 * | `unknown` | only the connection's own filter could, and that was another one then |
 * | `no_match` | none of the filters that held there lets it through |
 * | `not_yet` | the stream has not begun |
 * | `gap` | it lies in a gap that was told, whatever was to be read there: retention, another log, damage |
 * | `dropped` | it lies in one that a reader who wants the newest has made by being slow |
 * | `replaced` | it lies among what a later event of its key has replaced before it could be written |
 * | `began_after` | the stream began beyond it: with what came then, or at a position that was past it |
 * | `not_yet` | it was not written yet |
 * | `sent` | it was |
 */
export const outcomes = [
  'no_permission',
  'unknown',
  'no_match',
  'gap',
  'dropped',
  'replaced',
  'began_after',
  'not_yet',
  'sent',
] as const
type Outcome = (typeof outcomes)[number]

/** What one open stream of the subscriber on this server did with it. */
export interface StreamSays {
  readonly session: string
  readonly transport: TransportName
  readonly state: string
  readonly outcome: Outcome
  /** Of a gap that was told: why. */
  readonly reason: GapReason | null
  /** The outcome in a sentence. */
  readonly answer: string
  /** The tests that failed: of the credential's filter, or of the connection's own. */
  readonly failed: string[]
}

/** Where an event stands. */
export interface Place {
  readonly topic: string
  readonly epoch: number
  readonly partition: number
  readonly offset: number
}

/** What may be told to who asks. */
export interface Tells {
  /** What was found in an event: also in one that no stored filter lets through. */
  readonly values: boolean
  /** What the credentials of others enforce. */
  readonly credentials: boolean
}

export interface AskedOfStream {
  readonly event: Event
  readonly place: Place
  /** Whether one of the stored filters that held there lets it through. */
  readonly isStored: boolean
  readonly tells: Tells
}

type Found =
  | { readonly outcome: Exclude<Outcome, 'gap'> }
  | { readonly outcome: 'gap'; readonly reason: Told }
type Told = Exclude<GapReason, 'dropped'>

/** What one stream says of an event. */
export function streamSays(stream: Stream, asked: AskedOfStream): StreamSays {
  const { session, connection } = stream
  const { state } = session
  const found = outcomeOf(stream, asked)
  return {
    ...{ session: session.needs.id, transport: connection.name, outcome: found.outcome },
    state: state.kind === 'read' ? (state.live ? 'live' : 'replaying') : state.kind,
    reason: found.outcome === 'gap' ? found.reason : found.outcome === 'dropped' ? 'dropped' : null,
    answer: `The ${nouns[connection.name]} ${sentenceOf(found, connection.name)}`,
    failed: failedOf(stream, found.outcome, asked),
  }
}

function outcomeOf(stream: Stream, { event, place, isStored }: AskedOfStream): Found {
  const { session, own, subscriber } = stream
  const { enforced, slots } = session.needs
  const { began, missed, told } = session
  const slot = slots.of(place.topic, place.partition)
  const isOfThis = slots.topics.find(({ name }) => name === place.topic)?.epoch === place.epoch
  const lets = (tree: Tree | undefined) => tree !== undefined && matches(tree, event)
  if (enforced && !lets(enforced)) return { outcome: 'no_permission' }
  if (!isStored || subscriber === null) {
    // A life of the log before this one is before all of it.
    if (own.since && (!isOfThis || place.offset < (own.since[slot] as number))) return { outcome: 'unknown' }
    if (!lets(own.tree)) return { outcome: 'no_match' }
  }
  if (!began) return { outcome: 'not_yet' }
  if (!isOfThis) return missed.has('epoch') ? { outcome: 'gap', reason: 'epoch' } : { outcome: 'began_after' }
  const reason = missed.at(slot, place.offset)
  if (reason === 'dropped' || reason === 'replaced') return { outcome: reason }
  if (reason) return { outcome: 'gap', reason }
  if (place.offset < (began[slot] as number)) return { outcome: 'began_after' }
  return { outcome: place.offset < (told[slot] as number) ? 'sent' : 'not_yet' }
}

const nouns: Record<TransportName, string> = {
  websocket: 'socket',
  plain: 'plain socket',
  sse: 'event stream',
  webhook: 'webhook',
}

const sentences: Record<Exclude<Outcome, 'gap'>, string> = {
  no_permission: 'has a credential whose filter does not let it through.',
  unknown: 'had another filter of its own then, which is not remembered.',
  no_match: 'has no filter that lets it through.',
  dropped: 'was too slow and wants the newest: it lies in the gap that was told.',
  replaced:
    'was too slow and wants only the latest of each key: a later one took its place, unless it was the latest then.',
  began_after: 'began behind it: with what came then, or at a position that was past it already.',
  not_yet: 'has not sent it yet.',
  sent: 'has sent it.',
}

const gaps: Record<Told, string> = {
  retention: 'retention had taken it from the log.',
  epoch: 'the position that the stream came with is of another log.',
  corrupt: 'the log is damaged there.',
}

function sentenceOf(found: Found, transport: TransportName): string {
  if (found.outcome === 'gap') return `was told of a gap that it lies in: ${gaps[found.reason]}`
  // What was written to a socket has left; a webhook still has to get it to its receiver.
  if (found.outcome === 'sent' && transport === 'webhook')
    return 'has taken it, and sends it until the receiver takes it or it is given up.'
  return sentences[found.outcome]
}

function failedOf(stream: Stream, outcome: Outcome, { event, tells }: AskedOfStream): string[] {
  const { enforced } = stream.session.needs
  const { tree } = stream.own
  if (outcome === 'no_permission' && enforced && tells.credentials) return [...whyNot(enforced, event)]
  return outcome === 'no_match' && tree ? [...whyNot(tree, event, { values: tells.values })] : []
}
