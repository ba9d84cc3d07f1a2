import { Link } from '@tanstack/react-router'
import { useRef } from 'react'
import type { EventRow } from '../api/api.ts'
import { buttonLook, Icon, Instant, Panel, Table } from '../design/design.ts'
import { eventColumns } from '../event-row/event-row.tsx'

/** Which rows came after the list was first shown. */
function useFresh(rows: readonly EventRow[] | undefined): (row: EventRow) => boolean {
  const first = useRef<ReadonlySet<string>>(undefined)
  if (!first.current && rows) first.current = new Set(rows.map((row) => row.event_id))
  return (row) => first.current !== undefined && !first.current.has(row.event_id)
}

/** The event that ended the waiting, and the way to its page. */
export function FirstReceived({ event }: { event: EventRow }) {
  return (
    <p
      role="status"
      className="mb-3 flex flex-wrap items-center gap-x-3 gap-y-1 rounded-lg border border-ok bg-ok-soft px-4 py-2.5"
    >
      <span className="inline-flex items-center gap-2 font-medium text-ok">
        <Icon name="check" />
        <span>
          First event received <Instant at={event.received_at} inRow />
        </span>
      </span>
      <Link
        to="/events/$eventId"
        params={{ eventId: event.event_id }}
        className="font-medium underline underline-offset-2"
      >
        View its life
      </Link>
    </p>
  )
}

/** The newest events, as they arrive. */
export function Recent({ rows }: { rows: readonly EventRow[] }) {
  const isFresh = useFresh(rows)
  return (
    <Panel
      flush
      title="Newest events"
      actions={
        <Link to="/events" className={buttonLook('quiet')}>
          All events
          <Icon name="next" size={14} />
        </Link>
      }
    >
      <Table
        label="Newest events"
        rows={rows}
        keyOf={(row) => row.event_id}
        isFresh={isFresh}
        columns={[
          ...eventColumns,
          { name: 'Received', align: 'right', cell: (row) => <Instant at={row.received_at} inRow /> },
        ]}
      />
    </Panel>
  )
}
