import { getRouteApi, Link, useNavigate } from '@tanstack/react-router'
import { type FormEvent, lazy, Suspense, useEffect, useState } from 'react'
import { part } from '../api/part.ts'
import { Button, buttonLook, Icon, Loading, Tabs, TextField } from '../design/design.ts'
import { PageTitle, PauseButton } from '../shell/shell.tsx'
import { StreamsAndFilters } from './streams-and-filters.tsx'

// Only who looks at webhooks needs it.
const Webhooks = lazy(part(async () => ({ default: (await import('../webhooks/webhooks.tsx')).Webhooks })))

/**
 * What the address of the page holds: the view, one subscriber, a page of the list, and what lies open: a filter, or a
 * webhook by its id (`new`: another one).
 */
export interface SubscriptionSearch {
  /** `webhooks`; else streams and filters. */
  readonly view?: string
  readonly subscriber?: string
  readonly cursor?: string
  readonly open?: string
  /** What a new filter begins with. */
  readonly expression?: string
}

const route = getRouteApi('/signed-in/subscriptions')
const views = { streams: 'Streams and filters', webhooks: 'Webhooks' } as const

function Find({ subscriber, onFind }: { subscriber: string | undefined; onFind: (name: string) => void }) {
  const [text, setText] = useState(subscriber ?? '')
  useEffect(() => setText(subscriber ?? ''), [subscriber])
  const send = (sent: FormEvent) => {
    sent.preventDefault()
    onFind(text.trim())
  }
  return (
    <search aria-label="Subscribers">
      <form onSubmit={send} className="mb-3 flex flex-wrap items-end gap-x-3 gap-y-2">
        <TextField
          label="Subscriber"
          value={text}
          placeholder="Everybody"
          data-search
          onChange={(typed) => setText(typed.target.value)}
          className="w-64 max-w-full"
        />
        <Button type="submit" icon="search">
          Find
        </Button>
        {subscriber !== undefined && (
          <Button look="quiet" icon="cross" onClick={() => onFind('')}>
            Everybody
          </Button>
        )}
      </form>
    </search>
  )
}

/** Who listens, what they get, and how far behind they are. */
export function Subscriptions() {
  const search = route.useSearch()
  const navigate = useNavigate()
  const { view, subscriber } = search
  const isWebhooks = view === 'webhooks'
  const go = (next: SubscriptionSearch, replace = false) =>
    void navigate({ to: '/subscriptions', search: next, replace })
  // What another view, page or sheet is about is left behind; who it is about is not.
  const kept = (changes: SubscriptionSearch): SubscriptionSearch => ({
    ...(isWebhooks ? { view: 'webhooks' } : {}),
    ...(subscriber === undefined ? {} : { subscriber }),
    ...changes,
  })
  const close = () => {
    const { open: _, expression: __, ...rest } = search
    go(rest, true)
  }
  const choose = (name: string) =>
    go({
      ...(name === views.webhooks ? { view: 'webhooks' } : {}),
      ...(subscriber === undefined ? {} : { subscriber }),
    })
  return (
    <>
      <PageTitle name="Subscriptions" lead="Who listens, what they get, and how far behind they are.">
        <PauseButton />
        <Link to="/subscriptions" search={kept({ open: 'new' })} className={buttonLook('primary')}>
          <Icon name="plus" />
          {isWebhooks ? 'New webhook' : 'New filter'}
        </Link>
      </PageTitle>
      <Find
        subscriber={subscriber}
        onFind={(wanted) =>
          go({
            ...(isWebhooks ? { view: 'webhooks' } : {}),
            ...(wanted === '' ? {} : { subscriber: wanted }),
          })
        }
      />
      <Tabs
        label="Ways to get events"
        chosen={isWebhooks ? views.webhooks : views.streams}
        onChoose={choose}
        tabs={[
          { name: views.streams, content: <StreamsAndFilters search={search} onClose={close} /> },
          {
            name: views.webhooks,
            content: (
              <Suspense fallback={<Loading rows={5} label="Loading the webhooks" />}>
                <Webhooks search={search} onClose={close} onOpen={(open) => go(kept({ open }), true)} />
              </Suspense>
            ),
          },
        ]}
      />
    </>
  )
}
