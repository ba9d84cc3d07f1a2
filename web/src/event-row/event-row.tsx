import { Link } from '@tanstack/react-router'
import type { EventRow } from '../api/api.ts'
import { type Column, StateBadge } from '../design/design.ts'

/** What every list of events begins with: its type, which leads to its page, its state and its user. */
export const eventColumns: readonly Column<EventRow>[] = [
  {
    name: 'Type',
    long: true,
    lead: true,
    cell: (row) => (
      <Link
        to="/events/$eventId"
        params={{ eventId: row.event_id }}
        data-row
        className="font-medium hover:underline"
      >
        {row.event_type}
      </Link>
    ),
  },
  { name: 'State', lead: true, cell: (row) => <StateBadge state={row.status} /> },
  { name: 'User', long: true, cell: (row) => row.user_id ?? <span className="text-faint">none</span> },
]
