import { Link } from '@tanstack/react-router'
import { type Column, classNames, formatCount, Instant, Table } from '../design/design.ts'
import type { SubscriptionSearch } from '../subscriptions/subscriptions.tsx'
import type { Webhook } from './queries.ts'
import { Behind, WebhookBadge } from './webhook-state.tsx'

const none = <span className="text-faint">0</span>

/** How it goes: how far it is behind, what was taken and what was not. */
const figures: readonly Column<Webhook>[] = [
  { name: 'State', lead: true, cell: ({ status }) => <WebhookBadge status={status} /> },
  { name: 'Behind', align: 'right', cell: (webhook) => <Behind webhook={webhook} /> },
  {
    name: 'Delivered',
    align: 'right',
    className: 'sm:max-lg:hidden',
    cell: ({ delivered }) => formatCount(delivered),
  },
  {
    name: 'Failures in a row',
    align: 'right',
    className: 'sm:max-lg:hidden',
    cell: ({ failures }) =>
      failures === 0 ? none : <span className="font-medium text-warn">{formatCount(failures)}</span>,
  },
  {
    name: 'Dead letters',
    align: 'right',
    cell: ({ id, given_up }) =>
      given_up === 0 ? (
        none
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

/** Where to, and below it whose events they are and why they do not get there. */
function Address({ webhook, search }: { webhook: Webhook; search: SubscriptionSearch }) {
  const { id, url, subscriber_id, status, reason } = webhook
  return (
    <>
      {/* A focused link draws its outline within: the cut would take what stands out. */}
      <span className="block truncate [&>a]:-outline-offset-2">
        <Link
          to="/subscriptions"
          search={{ ...search, open: id }}
          data-row
          title={url}
          className="font-medium hover:underline"
        >
          {url.replace(/^https:\/\//, '')}
        </Link>
      </span>
      {/* Not a link as elsewhere: two of them below each other are hard to hit. */}
      <span className="block truncate text-xs text-muted">
        {subscriber_id}
        {reason !== null && (
          <span className={classNames(status === 'failing' && 'text-bad')} title={reason}>
            : {reason}
          </span>
        )}
      </span>
    </>
  )
}

const columns = (search: SubscriptionSearch): readonly Column<Webhook>[] => [
  {
    name: 'Sent to',
    lead: true,
    className: 'sm:w-full sm:max-w-0',
    cell: (webhook) => <Address webhook={webhook} search={search} />,
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
