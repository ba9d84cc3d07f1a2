import { Link } from '@tanstack/react-router'
import { type Column, formatCount, Instant, Table } from '../design/design.ts'
import type { SubscriptionSearch } from '../subscriptions/subscriptions.tsx'
import type { Webhook } from './queries.ts'
import { Behind, WebhookBadge } from './webhook-state.tsx'

/** How it goes: why it is not well, how far it is behind, what was taken and what was not. */
const figures: readonly Column<Webhook>[] = [
  {
    name: 'Why',
    className: 'sm:w-1/4 sm:max-w-0',
    cell: ({ reason }) =>
      reason === null ? (
        <span className="text-faint">–</span>
      ) : (
        <span className="block sm:truncate" title={reason}>
          {reason}
        </span>
      ),
  },
  { name: 'Behind', align: 'right', cell: (webhook) => <Behind webhook={webhook} /> },
  { name: 'Delivered', align: 'right', cell: ({ delivered }) => formatCount(delivered) },
  {
    name: 'Failures in a row',
    align: 'right',
    className: 'sm:max-lg:hidden',
    cell: ({ failures }) =>
      failures === 0 ? (
        <span className="text-faint">0</span>
      ) : (
        <span className="font-medium text-warn">{formatCount(failures)}</span>
      ),
  },
  {
    name: 'Dead letters',
    align: 'right',
    cell: ({ id, given_up }) =>
      given_up === 0 ? (
        <span className="text-faint">0</span>
      ) : (
        <Link
          to="/dead-letters"
          search={{ webhook: id }}
          className="font-medium text-bad underline underline-offset-2"
        >
          {formatCount(given_up)}
        </Link>
      ),
  },
  {
    name: 'Last success',
    align: 'right',
    className: 'sm:max-xl:hidden',
    cell: ({ last_success_at }) =>
      last_success_at === null ? (
        <span className="text-faint">never</span>
      ) : (
        <Instant at={last_success_at} inRow />
      ),
  },
]

const columns = (search: SubscriptionSearch): readonly Column<Webhook>[] => [
  {
    name: 'Sent to',
    long: true,
    lead: true,
    cell: ({ id, url }) => (
      <Link
        to="/subscriptions"
        search={{ ...search, open: id }}
        data-row
        title={url}
        className="font-medium hover:underline"
      >
        {url.replace(/^https:\/\//, '')}
      </Link>
    ),
  },
  { name: 'State', lead: true, cell: ({ status }) => <WebhookBadge status={status} /> },
  {
    name: 'Subscriber',
    long: true,
    cell: ({ subscriber_id }) => (
      <Link
        to="/subscriptions"
        search={{ view: 'webhooks', subscriber: subscriber_id }}
        className="text-muted hover:text-ink hover:underline"
      >
        {subscriber_id}
      </Link>
    ),
  },
  ...figures,
]

/** Addresses that events are sent to, and how each is. */
export function WebhooksTable({
  webhooks,
  search,
}: {
  webhooks: readonly Webhook[]
  search: SubscriptionSearch
}) {
  return (
    <Table
      label="Webhooks"
      rows={webhooks}
      keyOf={({ id }) => id}
      isCurrent={({ id }) => id === search.open}
      columns={columns(search)}
    />
  )
}
