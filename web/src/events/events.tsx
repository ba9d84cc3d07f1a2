import { useQuery } from '@tanstack/react-query'
import { getRouteApi, Link, useNavigate } from '@tanstack/react-router'
import { useState } from 'react'
import { type EventRow, failureFacts, isPassing, type Page, remedyOf, searchQuery } from '../api/api.ts'
import {
  Button,
  buttonLook,
  type Column,
  CopyButton,
  EmptyState,
  Failure,
  formatJson,
  formatMs,
  Icon,
  Instant,
  Loading,
  Panel,
  Table,
} from '../design/design.ts'
import { eventColumns } from '../event-row/event-row.tsx'
import { PageTitle, PauseButton, useLiveInterval } from '../shell/shell.tsx'
import { type EventSearch, freeze, isFiltered, toCurl, toEventQuery } from './event-search.ts'
import { Filters } from './filters.tsx'

const rowsPerPage = 50
const route = getRouteApi('/signed-in/events')

const preview = (row: EventRow) => {
  const text = formatJson(row.properties)
  return text === '{}' ? '' : text
}

const tookMs = (row: EventRow) =>
  row.processed_at === null ? undefined : Date.parse(row.processed_at) - Date.parse(row.received_at)

const columns: readonly Column<EventRow>[] = [
  ...eventColumns,
  { name: 'Received', cell: (row) => <Instant at={row.received_at} inRow /> },
  {
    name: 'Took',
    align: 'right',
    className: 'sm:max-lg:hidden',
    cell: (row) => {
      const took = tookMs(row)
      return took === undefined ? (
        <span className="text-faint">–</span>
      ) : (
        <span className="whitespace-nowrap">{formatMs(took)}</span>
      )
    },
  },
  {
    name: 'Properties',
    className: 'hidden w-2/5 max-w-0 lg:table-cell',
    cell: (row) => (
      <span className="block truncate font-mono text-xs leading-5 text-muted">{preview(row)}</span>
    ),
  },
]

function Paging({ page, search }: { page: Page<EventRow>; search: EventSearch }) {
  const { cursor, ...newest } = search
  return (
    <nav aria-label="Pages of events" className="mt-3 flex flex-wrap items-center gap-2">
      {cursor !== undefined && (
        <Link to="/events" search={newest} className={buttonLook()}>
          <Icon name="first" size={14} />
          Newest
        </Link>
      )}
      {page.has_more && page.cursor !== null && (
        <Link
          to="/events"
          search={{ ...freeze(search, Date.now()), cursor: page.cursor }}
          className={buttonLook()}
        >
          Older
          <Icon name="next" size={14} />
        </Link>
      )}
      <p className="text-sm text-muted">
        {page.data.length} {page.data.length === 1 ? 'event' : 'events'} on this page
        {page.has_more ? '' : ', the oldest there are'}.
      </p>
    </nav>
  )
}

function Nothing({ search, onClear }: { search: EventSearch; onClear: () => void }) {
  if (isFiltered(search))
    return (
      <EmptyState
        icon="search"
        title="No event matches"
        action={<Button onClick={onClear}>Clear the query</Button>}
      >
        Nothing was received that fits all of it. Widen the time span, or leave out a filter.
      </EmptyState>
    )
  return (
    <EmptyState
      icon="events"
      title="No events yet"
      action={
        <Link to="/" className={buttonLook('primary')}>
          Send the first one
        </Link>
      }
    >
      The overview shows a command that sends one.
    </EmptyState>
  )
}

/** Finds events. The whole query stands in the address; below it one page of rows, newest first. */
export function Events() {
  const search = route.useSearch()
  const navigate = useNavigate()
  const everyMs = useLiveInterval(3000)
  const page = useQuery({
    ...searchQuery(search, () => toEventQuery(search, Date.now(), rowsPerPage)),
    // Older pages do not change by new events; a query that was refused would be refused again.
    refetchInterval: ({ state }) =>
      (state.error === null ? search.cursor === undefined : isPassing(state.error)) ? everyMs : false,
  })
  // While the server is away, what was found stays in sight; the badge tells of the connection.
  const failed = page.isError && !(page.data && isPassing(page.error))
  const find = (next: EventSearch) => void navigate({ to: '/events', search: next })
  // What was typed but not searched is in no address: it goes when the form begins anew.
  const [clearings, setClearings] = useState(0)
  const clear = () => {
    setClearings((before) => before + 1)
    find({})
  }
  return (
    <>
      <PageTitle name="Events" lead="Newest first, by when they were received.">
        <CopyButton
          text={toCurl(window.location.origin, search, Date.now(), rowsPerPage)}
          what="as curl"
          worded
        />
        {search.cursor === undefined && <PauseButton />}
      </PageTitle>
      <Filters
        key={JSON.stringify([clearings, { ...search, cursor: '' }])}
        search={search}
        onSearch={find}
        onClear={clear}
      />
      {failed ? (
        <div className="-m-4 mt-0">
          <Failure
            facts={failureFacts(page.error)}
            remedy={remedyOf(page.error)}
            onRetry={() => void page.refetch()}
          />
        </div>
      ) : (
        <Panel flush>
          {page.isPending ? (
            <Loading rows={10} label="Loading events" />
          ) : page.data.data.length === 0 ? (
            <Nothing search={search} onClear={clear} />
          ) : (
            <div aria-busy={page.isPlaceholderData} className={page.isPlaceholderData ? 'opacity-60' : ''}>
              <Table label="Events" rows={page.data.data} keyOf={(row) => row.event_id} columns={columns} />
            </div>
          )}
        </Panel>
      )}
      {page.data && !failed && page.data.data.length > 0 && <Paging page={page.data} search={search} />}
    </>
  )
}
