import { Link } from '@tanstack/react-router'
import type { Filter, OpenStream } from '../delivery/queries.ts'
import { Badge, type Column, Instant, Table } from '../design/design.ts'
import type { SubscriptionSearch } from './subscriptions.tsx'

/** A stored filter as an address names it. */
export const keyOfFilter = ({ subscriber_id, name }: Pick<Filter, 'subscriber_id' | 'name'>) =>
  `${subscriber_id}/${name}`

const columns = (
  search: SubscriptionSearch,
  listeners: ReadonlyMap<string, number>,
): readonly Column<Filter>[] => [
  {
    name: 'Subscriber',
    long: true,
    lead: true,
    cell: ({ subscriber_id }) => (
      <Link
        to="/subscriptions"
        search={{ subscriber: subscriber_id }}
        className="text-muted hover:text-ink hover:underline"
      >
        {subscriber_id}
      </Link>
    ),
  },
  {
    name: 'Filter',
    long: true,
    lead: true,
    cell: (filter) => (
      <Link
        to="/subscriptions"
        search={{ ...search, open: keyOfFilter(filter) }}
        data-row
        className="font-medium hover:underline"
      >
        {filter.name}
      </Link>
    ),
  },
  {
    name: 'Lets through',
    className: 'sm:w-1/2 sm:max-w-0',
    cell: ({ expression }) => (
      <code className="block font-mono text-xs leading-5 sm:truncate" title={expression}>
        {expression}
      </code>
    ),
  },
  {
    name: 'Listening',
    cell: ({ subscriber_id, effective }) => {
      if (effective === null)
        return (
          <Badge tone="warn" icon="clock">
            being made known
          </Badge>
        )
      const open = listeners.get(subscriber_id) ?? 0
      return open > 0 ? (
        <Badge tone="ok" icon="check">
          {open} {open === 1 ? 'stream' : 'streams'}
        </Badge>
      ) : (
        <span className="text-faint">nobody now</span>
      )
    },
  },
  {
    name: 'Changed',
    align: 'right',
    className: 'sm:max-lg:hidden',
    cell: ({ updated_at }) => <Instant at={updated_at} inRow />,
  },
]

/** What subscribers get, and whether they are there. */
export function FiltersTable({
  filters,
  streams,
  search,
}: {
  filters: readonly Filter[]
  streams: readonly OpenStream[]
  search: SubscriptionSearch
}) {
  const listeners = new Map<string, number>()
  for (const { subscriber } of streams)
    if (subscriber !== null) listeners.set(subscriber, (listeners.get(subscriber) ?? 0) + 1)
  return (
    <Table
      label="Stored filters"
      rows={filters}
      keyOf={keyOfFilter}
      isCurrent={(filter) => keyOfFilter(filter) === search.open}
      columns={columns(search, listeners)}
    />
  )
}
