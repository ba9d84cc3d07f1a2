import { useQuery } from '@tanstack/react-query'
import { Link } from '@tanstack/react-router'
import { lazy, Suspense } from 'react'
import { failureFacts, isPassing, type Page, remedyOf } from '../api/api.ts'
import { part } from '../api/part.ts'
import { buttonLook, EmptyState, Failure, Icon, Loading, Panel } from '../design/design.ts'
import { useLiveInterval } from '../shell/shell.tsx'
import { Paging } from '../subscriptions/paging.tsx'
import type { SubscriptionSearch } from '../subscriptions/subscriptions.tsx'
import { type Webhook, webhooksQuery } from './queries.ts'
import { WebhooksTable } from './webhooks-table.tsx'

// With the fields that a webhook is written in: only who opens one needs them.
const WebhookSheet = lazy(part(async () => ({ default: (await import('./webhook-sheet.tsx')).WebhookSheet })))
const NewWebhookSheet = lazy(
  part(async () => ({ default: (await import('./new-webhook-sheet.tsx')).NewWebhookSheet })),
)

const rowsPerPage = 50

export interface WebhooksProps {
  readonly search: SubscriptionSearch
  readonly onClose: () => void
  /** Opens another one beside the list. */
  readonly onOpen: (id: string) => void
}

function NoWebhooks({ search }: { search: SubscriptionSearch }) {
  const { subscriber } = search
  return (
    <EmptyState
      icon="webhook"
      title={subscriber ? `${subscriber} has no webhook` : 'No webhooks yet'}
      action={
        <Link to="/subscriptions" search={{ ...search, open: 'new' }} className={buttonLook('primary')}>
          <Icon name="plus" size={14} />
          New webhook
        </Link>
      }
    >
      A webhook sends what a subscriber gets to an address: each event one signed request, in order per key,
      repeated until it is taken. What nobody takes becomes a dead letter.
    </EmptyState>
  )
}

function Listed({ page, search }: { page: Page<Webhook>; search: SubscriptionSearch }) {
  if (page.data.length === 0 && search.cursor === undefined) return <NoWebhooks search={search} />
  return (
    <>
      <WebhooksTable webhooks={page.data} search={search} />
      <Paging of="webhooks" page={page} search={search} />
    </>
  )
}

/** The webhooks of everybody, or of one subscriber, and the one that lies open. */
export function Webhooks({ search, onClose, onOpen }: WebhooksProps) {
  const { subscriber, cursor, open } = search
  const everyMs = useLiveInterval(2_000)
  const page = useQuery({
    ...webhooksQuery({ subscriber_id: subscriber, cursor, limit: rowsPerPage }),
    refetchInterval: ({ state }) => (state.error === null || isPassing(state.error) ? everyMs : false),
  })
  const failed = page.isError && !(page.data && isPassing(page.error))
  return (
    <>
      <Panel flush>
        {failed ? (
          <Failure
            facts={failureFacts(page.error)}
            remedy={remedyOf(page.error)}
            onRetry={() => void page.refetch()}
          />
        ) : page.data ? (
          <Listed page={page.data} search={search} />
        ) : (
          <Loading rows={5} label="Loading the webhooks" />
        )}
      </Panel>
      <Suspense>
        {open === 'new' ? (
          <NewWebhookSheet subscriber={subscriber} onClose={onClose} onOpen={onOpen} />
        ) : (
          open !== undefined && (
            <WebhookSheet
              key={open}
              id={open}
              known={page.data?.data.find(({ id }) => id === open)}
              onClose={onClose}
            />
          )
        )}
      </Suspense>
    </>
  )
}
