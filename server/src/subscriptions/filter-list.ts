import type { Filter } from '@pulse/protocol/filter'
import { unlessAway } from '../database/unless-away.ts'
import { type Caller, mayReadSubscriber } from '../http/access.ts'
import { ProblemError } from '../http/problem-error.ts'
import { filterOf } from './filter-answer.ts'
import type { FilterStore, ListFrom } from './filter-store.ts'

interface Query {
  readonly subscriber_id?: string | undefined
  readonly cursor?: string | undefined
  readonly limit: number
}

/** Filters that one request looks at, of which those that its caller may see are listed. */
const lookedAtMax = 10_000
/** Rows of one question, where the caller may see only some. */
const rowsMax = 1_000

/**
 * One page of the filters that a caller may see, by subscriber and name. It may be shorter than asked for and still have
 * more behind it. Throws ProblemError `invalid_request` for a cursor of somebody else.
 */
export async function listFilters(
  store: FilterStore,
  query: Query,
  caller: Caller,
): Promise<{ data: Filter[]; cursor: string | null; has_more: boolean }> {
  const data: Filter[] = []
  const from = startOf(query, caller)
  let { after } = from
  const readMax = caller.subscribers === undefined ? query.limit + 1 : rowsMax
  for (let lookedAt = 0; lookedAt < lookedAtMax; ) {
    const rows = await unlessAway(store.list({ ...from, after, limit: readMax }))
    for (const row of rows) {
      if (data.length === query.limit)
        return { data, cursor: after ? formatCursor(after) : null, has_more: true }
      after = row
      if (mayReadSubscriber(caller, row.subscriber)) data.push(filterOf(row))
    }
    lookedAt += rows.length
    if (rows.length < readMax) return { data, cursor: null, has_more: false }
  }
  return { data, cursor: after ? formatCursor(after) : null, has_more: true }
}

function startOf({ subscriber_id, cursor }: Query, caller: Caller): Omit<ListFrom, 'limit'> {
  // A token speaks for one subscriber; the names that a key may read begin with what its pattern begins with.
  const subscriber = subscriber_id ?? (caller.kind === 'token' ? caller.name : undefined)
  const prefix = caller.subscribers?.split('*', 1)[0] ?? ''
  return { subscriber, prefix, after: cursor === undefined ? undefined : parseCursor(cursor) }
}

type Place = NonNullable<ListFrom['after']>

const formatCursor = ({ subscriber, name }: Place) =>
  Buffer.from(`${subscriber}/${name}`).toString('base64url')

function parseCursor(text: string): Place {
  const [subscriber, name, more] = Buffer.from(text, 'base64url').toString().split('/')
  const isOurs = subscriber && name && more === undefined && formatCursor({ subscriber, name }) === text
  if (isOurs && !`${subscriber}${name}`.includes('\0')) return { subscriber, name }
  throw new ProblemError('invalid_request', 'The cursor is not one of this server.', {
    errors: [{ pointer: '/cursor', detail: 'must be a cursor from an earlier answer' }],
  })
}
