import { useQuery } from '@tanstack/react-query'
import { Link } from '@tanstack/react-router'
import { lazy, Suspense } from 'react'
import { failureFacts, isPassing, type Page, remedyOf } from '../api/api.ts'
import { part } from '../api/part.ts'
import { type Filter, filtersQuery, type OpenStream, streamsQuery } from '../delivery/queries.ts'
import { buttonLook, EmptyState, Failure, formatCount, Icon, Loading, Panel } from '../design/design.ts'
import { useLiveInterval } from '../shell/shell.tsx'
import { FiltersTable, keyOfFilter } from './filters-table.tsx'
import { Paging } from './paging.tsx'
import { StreamsTable } from './streams-table.tsx'
import type { SubscriptionSearch } from './subscriptions.tsx'

// With the fields that a filter is written in: only who opens one needs them.
const FilterSheet = lazy(part(async () => ({ default: (await import('./filter-sheet.tsx')).FilterSheet })))
const NewFilterSheet = lazy(
  part(async () => ({ default: (await import('./filter-sheet.tsx')).NewFilterSheet })),
)

const rowsPerPage = 50

function NoFilters({ subscriber }: { subscriber: string | undefined }) {
  return (
    <EmptyState
      icon="lab"
      title={subscriber ? `${subscriber} has no filter` : 'No filters yet'}
      action={
        <>
          <Link
            to="/subscriptions"
            search={{ ...(subscriber ? { subscriber } : {}), open: 'new' }}
            className={buttonLook('primary')}
          >
            <Icon name="plus" size={14} />
            New filter
          </Link>
          <Link to="/filter-lab" className={buttonLook()}>
            Try one first
          </Link>
        </>
      }
    >
      A filter says which events a subscriber gets. It applies to everybody who connects as that subscriber,
      and to what they missed while they were away.
    </EmptyState>
  )
}

function Filters({
  page,
  streams,
  search,
}: {
  page: Page<Filter>
  streams: readonly OpenStream[]
  search: SubscriptionSearch
}) {
  if (page.data.length === 0 && search.cursor === undefined)
    return <NoFilters subscriber={search.subscriber} />
  return (
    <>
      <FiltersTable filters={page.data} streams={streams} search={search} />
      <Paging of="filters" page={page} search={search} />
    </>
  )
}

const count = (streams: readonly OpenStream[] | undefined) =>
  streams === undefined ? '' : ` (${formatCount(streams.length)})`

function useData({ subscriber, cursor }: SubscriptionSearch) {
  const streamsEveryMs = useLiveInterval(2_000)
  const filtersEveryMs = useLiveInterval(10_000)
  const refetch = (everyMs: number | false) => (state: { error: unknown }) =>
    state.error === null || isPassing(state.error) ? everyMs : false
  const streams = useQuery({
    ...streamsQuery(subscriber),
    refetchInterval: ({ state }) => refetch(streamsEveryMs)(state),
  })
  const filters = useQuery({
    ...filtersQuery({ subscriber_id: subscriber, cursor, limit: rowsPerPage }),
    refetchInterval: ({ state }) => refetch(filtersEveryMs)(state),
  })
  return { streams, filters }
}

/** Who is connected and the stored filters, of everybody or of one subscriber, and the filter that lies open. */
export function StreamsAndFilters({ search, onClose }: { search: SubscriptionSearch; onClose: () => void }) {
  const { streams, filters } = useData(search)
  const { subscriber, open } = search
  // A subscriber's name has no slash, and neither has a filter's.
  const [owner = '', name = ''] = open?.split('/') ?? []
  return (
    <>
      <div className="flex flex-col gap-3">
        <Panel flush title={`Open streams${count(streams.data)}`}>
          {streams.data ? (
            <StreamsTable streams={streams.data} subscriber={subscriber} />
          ) : streams.isError ? (
            <Failure
              facts={failureFacts(streams.error)}
              remedy={remedyOf(streams.error)}
              onRetry={() => void streams.refetch()}
            />
          ) : (
            <Loading rows={3} label="Loading the streams" />
          )}
        </Panel>
        <Panel flush title="Stored filters">
          {filters.data ? (
            <Filters page={filters.data} streams={streams.data ?? []} search={search} />
          ) : filters.isError ? (
            <Failure
              facts={failureFacts(filters.error)}
              remedy={remedyOf(filters.error)}
              onRetry={() => void filters.refetch()}
            />
          ) : (
            <Loading rows={5} label="Loading the filters" />
          )}
        </Panel>
      </div>
      <Suspense>
        {open === 'new' ? (
          <NewFilterSheet subscriber={subscriber} expression={search.expression} onClose={onClose} />
        ) : (
          open !== undefined && (
            <FilterSheet
              key={open}
              subscriber={owner}
              name={name}
              known={filters.data?.data.find((filter) => keyOfFilter(filter) === open)}
              onClose={onClose}
            />
          )
        )}
      </Suspense>
    </>
  )
}
