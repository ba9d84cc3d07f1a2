import { useMutation, useQuery } from '@tanstack/react-query'
import { getRouteApi, Link, useNavigate } from '@tanstack/react-router'
import { type FormEvent, useEffect, useRef, useState } from 'react'
import { eventTypesQuery, failureFacts, pulse, remedyOf, sessionQuery } from '../api/api.ts'
import { Button, buttonLook, classNames, EmptyState, Failure, Loading, Panel } from '../design/design.ts'
import { ExpressionField } from '../filter-form/expression-field.tsx'
import { type Misreading, misreadingOf } from '../filter-form/misreading.ts'
import { PageTitle, PauseButton, usePause } from '../shell/shell.tsx'
import { Rows, useReading } from './rows.tsx'
import { Sampled, Status } from './status.tsx'
import { useFollow } from './use-follow.ts'

const route = getRouteApi('/signed-in/live')
const all = 'everything'

/** Filters that fit what has been seen here, to begin with. */
function useExamples(): readonly string[] {
  const types = useQuery(eventTypesQuery).data ?? []
  const busiest = [...types].sort((a, b) => b.count_24h - a.count_24h).slice(0, 2)
  return [
    ...busiest.map(({ name }) => `event_type = "${name}"`),
    'properties.amount > 100',
    'user_id exists and event_type != "page_view"',
  ].slice(0, 3)
}

function Examples({ onChoose }: { onChoose: (example: string) => void }) {
  return (
    <p className="mt-2 flex flex-wrap items-center gap-1 text-xs text-muted">
      Try
      {useExamples().map((example, index) => (
        <button
          key={example}
          type="button"
          onClick={() => onChoose(example)}
          className={classNames(
            'min-h-6 rounded-sm px-1.5 font-mono text-accent hover:bg-hover hover:underline pointer-coarse:min-h-11',
            // There is room for one on a phone, and for two on a tablet.
            ['', 'max-sm:hidden', 'max-lg:hidden'][index],
          )}
        >
          {example}
        </button>
      ))}
    </p>
  )
}

/** The way to the lab, for a filter that lets through less than somebody thought. */
function ToThePast({ filter }: { filter: string }) {
  return (
    <Link
      to="/filter-lab"
      search={{ form: 'expression', filter }}
      className="mt-1 inline-flex min-h-6 items-center text-xs font-medium text-accent hover:underline pointer-coarse:min-h-11"
    >
      Test it on the past
    </Link>
  )
}

function FilterBox({
  filter,
  misreading,
  onFind,
}: {
  filter: string | undefined
  misreading: Misreading | undefined
  onFind: (filter: string) => void
}) {
  const [text, setText] = useState(filter ?? '')
  // The way back, or a link, brings another filter.
  useEffect(() => setText(filter ?? ''), [filter])
  const send = (sent?: FormEvent) => {
    sent?.preventDefault()
    onFind(text.trim())
  }
  return (
    <search aria-label="Live events">
      <form
        onSubmit={send}
        className="mb-3 rounded-lg border border-hairline bg-surface px-4 py-3 shadow-card"
      >
        <div className="flex flex-wrap items-start gap-x-3 gap-y-2">
          <div className="flex min-w-0 flex-1 basis-72">
            <ExpressionField
              label="Filter"
              value={text}
              onChange={setText}
              onSend={send}
              misreading={misreading}
              readText={filter}
              placeholder="Everything"
            />
          </div>
          <div className="flex gap-2 sm:pt-5">
            <Button type="submit" look="primary" icon="check">
              Apply
            </Button>
            <Button
              disabled={text === '' && filter === undefined}
              onClick={() => {
                setText('')
                onFind('')
              }}
            >
              Clear
            </Button>
          </div>
        </div>
        {filter === undefined && (
          <Examples
            onChoose={(example) => {
              setText(example)
              onFind(example)
            }}
          />
        )}
        {filter !== undefined && misreading === undefined && <ToThePast filter={filter} />}
      </form>
    </search>
  )
}

/** Sends an event, so that somebody who has none sees one come. */
function SendOne() {
  const send = useMutation({
    mutationFn: () =>
      pulse.events.publish({
        event_type: 'page_view',
        user_id: 'you',
        properties: { path: '/ui/live', sent_by: 'dashboard' },
      }),
  })
  return (
    <>
      <Button look="primary" icon="live" busy={send.isPending} onClick={() => send.mutate()}>
        Send a test event
      </Button>
      {send.isError && <Failure facts={failureFacts(send.error)} remedy={remedyOf(send.error)} />}
    </>
  )
}

function Nothing({ filter, onClear }: { filter: string | undefined; onClear: () => void }) {
  const session = useQuery(sessionQuery).data
  if (filter !== undefined)
    return (
      <EmptyState
        icon="live"
        title="Connected, and nothing matches yet"
        action={
          <>
            <Button onClick={onClear}>Show everything</Button>
            <Link to="/filter-lab" search={{ form: 'expression', filter }} className={buttonLook('quiet')}>
              Test it on the past
            </Link>
          </>
        }
      >
        An event that the filter lets through shows up here within a second.
      </EmptyState>
    )
  return (
    <EmptyState
      icon="live"
      title="Connected, waiting for events"
      action={
        session?.scopes.includes('events:write') ? (
          <SendOne />
        ) : (
          <Link to="/" className={buttonLook('primary')}>
            How to send one
          </Link>
        )
      }
    >
      Whatever the server takes from now on shows up here within a second, the newest first.
    </EmptyState>
  )
}

function Stream({
  filter,
  onClear,
  onRefused,
}: {
  filter: string | undefined
  onClear: () => void
  onRefused: (misreading: Misreading | undefined) => void
}) {
  const { paused, toggle } = usePause()
  const list = useRef<HTMLDivElement>(null)
  const { shown, connection, hold, retry } = useFollow(filter ?? all)
  const reading = useReading(list, shown.rows.length > 0)
  const isHeld = paused || reading !== undefined
  useEffect(() => hold(isHeld), [hold, isHeld])
  const { error } = connection
  const misreading = misreadingOf(error)
  // biome-ignore lint/correctness/useExhaustiveDependencies: one error is told once.
  useEffect(() => onRefused(misreading), [error])
  const show = () => {
    if (paused) toggle()
    if (document.activeElement instanceof HTMLElement) document.activeElement.blur()
    window.scrollTo({ top: 0 })
  }
  const isRefused = connection.kind === 'ended' && misreading !== undefined
  return (
    <Panel flush>
      {isRefused ? (
        <p className="px-4 py-3 text-muted">Mend the filter above, then apply it again.</p>
      ) : (
        <>
          <Status
            connection={connection}
            shown={shown}
            stillness={{ paused, reading, onShow: show }}
            onRetry={retry}
          />
          {shown.sampled && <Sampled shown={shown} />}
        </>
      )}
      <div ref={list}>
        {shown.rows.length > 0 ? (
          <Rows rows={shown.rows} calm={shown.sampled} />
        ) : connection.kind === 'live' ? (
          <Nothing filter={filter} onClear={onClear} />
        ) : (
          connection.kind === 'connecting' && <Loading rows={6} label="Connecting" />
        )}
      </div>
    </Panel>
  )
}

/** What comes in right now: everything, or what a filter lets through. */
export function Live() {
  const { filter } = route.useSearch()
  const navigate = useNavigate()
  const [misreading, setMisreading] = useState<Misreading>()
  const [tries, setTries] = useState(0)
  const find = (wanted: string) => {
    // The same filter once more begins anew, too.
    setTries((before) => before + 1)
    void navigate({ to: '/live', search: wanted === '' || wanted === all ? {} : { filter: wanted } })
  }
  return (
    <>
      <PageTitle name="Live" lead="What comes in right now, the newest first.">
        <PauseButton />
      </PageTitle>
      <FilterBox filter={filter} misreading={misreading} onFind={find} />
      <Stream
        key={`${tries} ${filter ?? ''}`}
        filter={filter}
        onClear={() => find('')}
        onRefused={setMisreading}
      />
    </>
  )
}
