import type { Condition } from '@pulse/protocol/filter'
import type { FilterRow } from './filter-store.ts'

/** A change of one filter that somebody asks for. */
export type WantedChange = { readonly subscriber: string; readonly name: string } & (
  | { readonly kind: 'create' | 'update'; readonly condition: Condition; readonly selective: boolean }
  | { readonly kind: 'delete' }
)

/**
 * Why a change was not made:
 *
 * - `exists`, `missing`: there is such a filter already, or there is none.
 * - `pending`: the change before it is not known everywhere yet; in the log its record must not come behind ours.
 * - `too-many`: the subscriber has as many filters as one may have.
 * - `too-wide`: it is asked of every event, and as many such filters as there may be are there.
 */
export type Refusal =
  | { readonly kind: 'exists' | 'missing' | 'too-many' | 'too-wide' }
  | { readonly kind: 'pending'; readonly announcement: string }

/** A version to be written. */
export interface Write {
  readonly kind: 'write'
  readonly subscriber: string
  readonly name: string
  readonly version: number
  readonly condition: Condition | null
  readonly selective: boolean
  /** Whether it is the newest version still when all the changes are made. */
  readonly current: boolean
  /** When the filter was made; null: now. */
  readonly createdAt: string | null
}

/** What is there before the changes. */
export interface State {
  /** Newest versions of the filters in question. */
  readonly current: readonly FilterRow[]
  /** Filters that the subscribers in question have. */
  readonly counts: ReadonlyMap<string, number>
  readonly unselective: number
  readonly limits: { readonly perSubscriberMax: number; readonly unselectiveMax: number }
}

export type Decision = Write | Refusal

/** The newest version while changes are decided; one that is decided already is no longer pending. */
type Newest = Pick<Write, 'version' | 'condition' | 'selective' | 'createdAt'> & {
  readonly open: string | undefined
}

/** Decides changes one after the other, each with those before it made. */
export function decide(wanted: readonly WantedChange[], state: State): readonly Decision[] {
  const newest = new Map<string, Newest>(
    state.current.map((row) => [
      keyOf(row),
      { ...row, createdAt: row.createdAt, open: row.effective ? undefined : row.announcement },
    ]),
  )
  const counts = new Map(state.counts)
  let { unselective } = state
  const decisions = wanted.map((change): Decision => {
    const before = newest.get(keyOf(change))
    const count = counts.get(change.subscriber) ?? 0
    const refusal = refusalOf(change, before, { count, unselective, limits: state.limits })
    if (refusal) return refusal
    const exists = before !== undefined && before.condition !== null
    const condition = change.kind === 'delete' ? null : change.condition
    const selective = change.kind === 'delete' || change.selective
    unselective += (selective ? 0 : 1) - (before?.selective === false ? 1 : 0)
    counts.set(change.subscriber, count + (condition ? 1 : 0) - (exists ? 1 : 0))
    const version = (before?.version ?? 0) + 1
    const createdAt = exists ? before.createdAt : null
    newest.set(keyOf(change), { version, condition, selective, createdAt, open: undefined })
    const { subscriber, name } = change
    return { kind: 'write', subscriber, name, version, condition, selective, createdAt, current: true }
  })
  return decisions.map((each) =>
    each.kind === 'write' ? { ...each, current: newest.get(keyOf(each))?.version === each.version } : each,
  )
}

function refusalOf(
  change: WantedChange,
  before: Newest | undefined,
  now: { count: number; unselective: number; limits: State['limits'] },
): Refusal | undefined {
  if (before?.open !== undefined) return { kind: 'pending', announcement: before.open }
  const exists = before !== undefined && before.condition !== null
  if (change.kind === 'create' && exists) return { kind: 'exists' }
  if (change.kind !== 'create' && !exists) return { kind: 'missing' }
  if (change.kind === 'create' && now.count >= now.limits.perSubscriberMax) return { kind: 'too-many' }
  if (change.kind === 'delete' || change.selective || before?.selective === false) return undefined
  return now.unselective >= now.limits.unselectiveMax ? { kind: 'too-wide' } : undefined
}

const keyOf = ({ subscriber, name }: { subscriber: string; name: string }) => `${subscriber}/${name}`
