import { useQuery } from '@tanstack/react-query'
import { getRouteApi, Link } from '@tanstack/react-router'
import {
  type DeadLetter,
  type EventLife,
  eventQuery,
  failureFacts,
  isPassing,
  PulseError,
  remedyOf,
} from '../api/api.ts'
import {
  buttonLook,
  Code,
  CopyText,
  EmptyState,
  ExactInstant,
  Fact,
  Facts,
  Failure,
  formatInstant,
  formatJson,
  formatMs,
  Instant,
  Loading,
  Panel,
  StateBadge,
  Tabs,
} from '../design/design.ts'
import { Redrive } from '../redrive/redrive.tsx'
import { PageTitle, useLiveInterval } from '../shell/shell.tsx'
import { Life } from './life.tsx'

const route = getRouteApi('/signed-in/events/$eventId')

const isMoving = (life: EventLife | undefined) => life?.status === 'accepted' || life?.status === 'retrying'

/** Why the event failed, and the way to try again. */
function Dead({ letter }: { letter: DeadLetter }) {
  return (
    <Panel
      title={letter.state === 'dead' ? 'Dead letter' : 'Dead letter, redriven'}
      {...(letter.state === 'dead' ? { tone: 'bad' as const } : {})}
    >
      <p className="font-medium">{letter.error.message}</p>
      <p className="mt-1 mb-3 text-sm text-muted">
        {letter.error.class} in handler <code className="font-mono">{letter.handler}</code>, after{' '}
        {letter.attempts} {letter.attempts === 1 ? 'attempt' : 'attempts'}, <Instant at={letter.failed_at} />
      </p>
      <Redrive letter={letter} />
    </Panel>
  )
}

function Particulars({ life }: { life: EventLife }) {
  const { event } = life
  const took =
    life.processed_at === null ? undefined : Date.parse(life.processed_at) - Date.parse(life.received_at)
  return (
    <Panel title="Particulars">
      <Facts>
        <Fact name="Event id">
          <CopyText text={event.event_id} what="the event id" />
        </Fact>
        <Fact name="User">
          {event.user_id === null ? (
            <span className="text-faint">none</span>
          ) : (
            <Link
              to="/events"
              search={{ user_id: event.user_id }}
              className="underline decoration-hairline underline-offset-2 hover:decoration-current"
            >
              {event.user_id}
            </Link>
          )}
        </Fact>
        <Fact name="Happened">
          <ExactInstant at={event.timestamp} />
        </Fact>
        <Fact name="Received">
          <ExactInstant at={life.received_at} />
        </Fact>
        <Fact name="Processed">
          {life.processed_at === null ? (
            <span className="text-faint">{isMoving(life) ? 'not yet' : 'no'}</span>
          ) : (
            <>
              {formatInstant(life.processed_at)}
              {took !== undefined && <span className="text-muted"> ({formatMs(took)} later)</span>}
            </>
          )}
        </Fact>
        <Fact name="Source">{event.source ?? <span className="text-faint">none</span>}</Fact>
        <Fact name="Schema version">{event.schema_version}</Fact>
        <Fact name="Position">
          <CopyText text={life.position} what="the position" />
        </Fact>
        <Fact name="Delivery">
          <Link
            to="/filter-lab"
            search={{ view: 'explain', event: event.event_id }}
            className="underline decoration-hairline underline-offset-2 hover:decoration-current"
          >
            Why did somebody get it, or not?
          </Link>
        </Fact>
      </Facts>
    </Panel>
  )
}

function Contents({ life }: { life: EventLife }) {
  const tabs = [
    {
      name: 'Properties',
      content: <Code tall text={formatJson(life.event.properties, 2)} label="the properties" />,
    },
    {
      name: 'Whole event',
      content: <Code tall text={formatJson(life.event, 2)} label="the event as JSON" />,
    },
    ...(life.enriched
      ? [
          {
            name: 'Added by its handler',
            content: <Code tall text={formatJson(life.enriched, 2)} label="what the handler added" />,
          },
        ]
      : []),
  ]
  return (
    <Panel title="Contents">
      <Tabs label="Contents of the event" tabs={tabs} />
    </Panel>
  )
}

function Found({ life }: { life: EventLife }) {
  return (
    <>
      <PageTitle
        name={life.event.event_type}
        heading={
          <span className="flex flex-wrap items-center gap-3">
            {life.event.event_type} <StateBadge state={life.status} />
          </span>
        }
      />
      <div className="grid gap-3 lg:grid-cols-[minmax(0,2fr)_minmax(0,3fr)]">
        <div className="flex min-w-0 flex-col gap-3">
          {life.dead_letter && <Dead letter={life.dead_letter} />}
          <Panel title="Its life">
            <Life steps={life.life} />
          </Panel>
        </div>
        <div className="flex min-w-0 flex-col gap-3">
          <Contents life={life} />
          <Particulars life={life} />
        </div>
      </div>
    </>
  )
}

/** One event: what it says, and everything that happened to it. */
export function EventPage() {
  const { eventId } = route.useParams()
  const everyMs = useLiveInterval(1000)
  const life = useQuery({
    ...eventQuery(eventId),
    refetchInterval: ({ state }) => (isMoving(state.data) || isPassing(state.error) ? everyMs : false),
  })
  const missing = life.error instanceof PulseError && life.error.code === 'not_found'
  return (
    <>
      <nav aria-label="Way back" className="mb-2 text-sm">
        <Link to="/events" className="text-muted hover:text-ink hover:underline">
          Events
        </Link>
      </nav>
      {life.data ? (
        <Found life={life.data} />
      ) : (
        <>
          <PageTitle name="Event" />
          {life.isPending && <Loading rows={8} label="Loading the event" />}
          {missing ? (
            <EmptyState
              icon="search"
              title="No such event"
              action={
                <Link to="/events" className={buttonLook()}>
                  All events
                </Link>
              }
            >
              There is no event <code className="font-mono">{eventId}</code>, or retention has removed it.
            </EmptyState>
          ) : (
            life.isError && (
              <Failure
                facts={failureFacts(life.error)}
                remedy={remedyOf(life.error)}
                onRetry={() => void life.refetch()}
              />
            )
          )}
        </>
      )}
    </>
  )
}
