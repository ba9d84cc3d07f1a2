import { type UseQueryResult, useQuery } from '@tanstack/react-query'
import { Link } from '@tanstack/react-router'
import {
  failureFacts,
  type Health,
  type History,
  healthQuery,
  remedyOf,
  type Summary,
  summaryQuery,
} from '../api/api.ts'
import {
  Failure,
  formatCount,
  formatMs,
  formatRate,
  formatSpan,
  Instant,
  Loading,
  measureMs,
  Spark,
  Tile,
} from '../design/design.ts'
import { useLiveInterval } from '../shell/shell.tsx'

const known = (ms: number | null) => (ms === null ? '–' : formatMs(ms))

const healthLooks = {
  healthy: { word: 'Healthy', tone: 'ok' },
  degraded: { word: 'Degraded', tone: 'warn' },
  unhealthy: { word: 'Unhealthy', tone: 'bad' },
} as const
const noAnswer = { word: 'No answer', tone: 'bad' } as const

/** The parts that a healthy server names, or those that are down, in one line. */
function partsOf(services: Health['services']): string {
  const down = Object.keys(services).filter((name) => services[name] !== 'up')
  if (down.length > 0) return `Down: ${down.join(', ')}`
  return `Up: ${Object.keys(services).join(', ') || 'every part'}`
}

function HealthTile({ health, summary }: { health: UseQueryResult<Health>; summary: Summary }) {
  const { data, isError } = health
  const look = isError ? noAnswer : data && healthLooks[data.status]
  return (
    <Tile label="Is it well?" value={look?.word ?? '…'} {...(look ? { tone: look.tone } : {})}>
      <p>{isError ? 'Figures are the last known.' : data ? partsOf(data.services) : 'Asking'}</p>
      <p>
        Running {formatSpan(summary.uptime_seconds)}, since <Instant at={summary.started_at} as="clock" />
      </p>
    </Tile>
  )
}

function ReceivedTile({ summary, history }: { summary: Summary; history: History | undefined }) {
  return (
    <Tile
      label="How much comes in?"
      value={formatRate(summary.rates.received_per_second)}
      unit="per second"
      aside={<Spark values={history?.series.received_per_second.slice(-120) ?? []} />}
    >
      <p>{formatCount(summary.received)} received</p>
      <p>
        {formatCount(summary.duplicates)} repeated, {formatCount(summary.rejected)} rejected
      </p>
    </Tile>
  )
}

function AcknowledgeTile({ summary }: { summary: Summary }) {
  const { p50, p95, p99 } = summary.ack_ms
  const measured = p95 === null ? undefined : measureMs(p95)
  return (
    <Tile
      label="How fast is the receipt?"
      value={measured?.value ?? '–'}
      unit={measured ? `${measured.unit} p95` : ''}
    >
      <p>
        p50 {known(p50)}, p99 {known(p99)}
      </p>
      <p>
        {p95 === null ? 'No event in the last minute' : `To its row p95 ${known(summary.processing_ms.p95)}`}
      </p>
    </Tile>
  )
}

/** How long the backlog lasts at the present rates; undefined while it does not shrink, or is gone in a second. */
function drainSeconds({ backlog, rates }: Summary): number | undefined {
  const shrinks = rates.processed_per_second - rates.received_per_second
  const seconds = backlog.events && shrinks > 0 ? backlog.events / shrinks : 0
  return seconds >= 1 ? seconds : undefined
}

const knownCount = (count: number | null) => (count === null ? '–' : formatCount(count))

function BacklogTile({ summary }: { summary: Summary }) {
  const { events, seconds } = summary.backlog
  const behind =
    seconds === null
      ? { value: '–', unit: '' }
      : seconds === 0
        ? { value: '0', unit: 's' }
        : measureMs(seconds * 1000)
  const drains = drainSeconds(summary)
  return (
    <Tile
      label="How far behind?"
      value={behind.value}
      unit={behind.unit}
      {...(seconds !== null && seconds >= 10 ? { tone: 'warn' as const } : {})}
    >
      <p>
        {knownCount(events)} waiting, {knownCount(summary.pending_messages)} to try again
        {drains === undefined ? '' : `, drains in ${formatSpan(drains)}`}
      </p>
      <p>
        <Link
          to="/dead-letters"
          className="underline decoration-hairline underline-offset-2 hover:decoration-current"
        >
          {formatCount(summary.failed)} failed
        </Link>{' '}
        of {formatCount(summary.processed + summary.failed)}
      </p>
    </Tile>
  )
}

/** The four questions of whoever looks from across the room. */
export function Tiles({ history }: { history: History | undefined }) {
  const everyMs = useLiveInterval(1000)
  const summary = useQuery({ ...summaryQuery, refetchInterval: everyMs })
  const health = useQuery(healthQuery)
  if (summary.isPending) return <Loading rows={3} label="Loading the figures" />
  if (!summary.data)
    return (
      <Failure
        facts={failureFacts(summary.error)}
        remedy={remedyOf(summary.error)}
        onRetry={() => void summary.refetch()}
      />
    )
  return (
    <div className="grid gap-3 sm:grid-cols-2 xl:grid-cols-4">
      <HealthTile health={health} summary={summary.data} />
      <ReceivedTile summary={summary.data} history={history} />
      <AcknowledgeTile summary={summary.data} />
      <BacklogTile summary={summary.data} />
    </div>
  )
}
