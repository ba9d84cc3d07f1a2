import { Link } from '@tanstack/react-router'
import type { FilterTrialResult } from '../delivery/queries.ts'
import {
  Badge,
  Code,
  type Column,
  classNames,
  formatCount,
  formatJson,
  formatRate,
  Icon,
  Instant,
  Panel,
  Table,
} from '../design/design.ts'
import { formatPattern } from '../filter-form/pattern-text.ts'

type Looked = FilterTrialResult['looked']

const stops: Record<NonNullable<Looked['stopped_by']>, string> = {
  time: 'It stopped there because five seconds were over.',
  records: 'It stopped there because as many events as one trial may look at were looked at.',
  log: 'What lies before cannot be read.',
}

function Matched({ result }: { result: FilterTrialResult }) {
  const { matched, per_hour, looked } = result
  const share = looked.records === 0 ? 0 : (matched / looked.records) * 100
  return (
    <Panel title="Would have let through">
      <p className="figures flex flex-wrap items-baseline gap-x-3">
        <span className="text-figure font-medium tracking-tight">{formatCount(matched)}</span>
        <span className="text-muted">
          of {formatCount(looked.records)} {looked.records === 1 ? 'event' : 'events'}
          {looked.records > 0 && `, ${formatRate(share)} %`}
        </span>
      </p>
      <p className="figures text-muted">About {formatRate(per_hour)} an hour.</p>
      <p className="mt-2 text-sm text-muted">
        Looked at all that was received from <Instant at={looked.from} as="clock" inRow /> to{' '}
        <Instant at={looked.to} as="clock" inRow />. {looked.stopped_by && stops[looked.stopped_by]}
      </p>
    </Panel>
  )
}

function Verdict({ result }: { result: FilterTrialResult }) {
  const { cost, refused } = result
  return (
    <Panel title="What it costs" {...(refused ? { tone: 'bad' as const } : {})}>
      <p>
        {refused ? (
          <Badge tone="bad" icon="cross">
            would be refused
          </Badge>
        ) : cost?.selective ? (
          <Badge tone="ok" icon="check">
            cheap
          </Badge>
        ) : (
          <Badge tone="warn" icon="alert">
            asked of every event
          </Badge>
        )}
      </p>
      {refused && <p className="mt-2 font-medium">{refused.detail}</p>}
      {cost && cost.reason !== '' && <p className="mt-2">{cost.reason}</p>}
      {cost && (
        <p className="mt-1 text-sm text-muted">
          {cost.selective
            ? 'A value leads to it, so that only events which hold the value are compared.'
            : 'No value leads to it. A server stores only so many such filters.'}{' '}
          {cost.clauses === 1
            ? 'It has one alternative.'
            : `It has ${formatCount(cost.clauses)} alternatives.`}
        </p>
      )}
    </Panel>
  )
}

/** One form of the filter, or why there is none. */
function Form({ name, text, none }: { name: string; text: string | undefined; none: string }) {
  return (
    <div className="min-w-0">
      <h3 className="mb-1 text-sm font-medium text-muted">{name}</h3>
      {text === undefined ? (
        <p className="flex items-center gap-2 rounded-md border border-dashed border-hairline px-3 py-2.5 text-sm text-muted">
          <Icon name="drop" size={14} />
          {none}
        </p>
      ) : (
        <Code wrap text={text} label={`the filter as ${name.toLowerCase()}`} />
      )}
    </div>
  )
}

function Forms({ result }: { result: FilterTrialResult }) {
  const { event_types, user_tiers, min_amount, pattern, expression } = result
  return (
    <Panel title="The same filter in its three forms">
      <div className="grid gap-3 lg:grid-cols-3">
        <Form name="Expression" text={expression} none="" />
        <Form
          name="Pattern"
          text={pattern ? formatPattern(pattern) : undefined}
          none="It asks for more than a pattern can say."
        />
        <Form
          name="Simple form"
          text={event_types ? formatPattern({ event_types, user_tiers, min_amount }) : undefined}
          none="It asks for more than types, tiers and a least amount."
        />
      </div>
    </Panel>
  )
}

type Found = FilterTrialResult['sample'][number]

const columns: readonly Column<Found>[] = [
  {
    name: 'Type',
    long: true,
    lead: true,
    cell: ({ event }) => (
      <Link
        to="/events/$eventId"
        params={{ eventId: event.event_id }}
        data-row
        className="font-medium hover:underline"
      >
        {event.event_type}
      </Link>
    ),
  },
  {
    name: 'User',
    long: true,
    cell: ({ event }) => event.user_id ?? <span className="text-faint">none</span>,
  },
  {
    name: 'Properties',
    className: 'sm:w-1/2 sm:max-w-0',
    cell: ({ event }) => (
      <span className="block truncate font-mono text-xs leading-5 text-muted">
        {formatJson(event.properties)}
      </span>
    ),
  },
  { name: 'Received', align: 'right', cell: ({ received_at }) => <Instant at={received_at} inRow /> },
]

function Sample({ result }: { result: FilterTrialResult }) {
  const { sample, matched } = result
  return (
    <Panel flush title={sample.length < matched ? `The newest ${sample.length} of them` : 'All of them'}>
      {sample.length === 0 ? (
        <p className="px-4 pb-3 text-muted">
          Nothing. Widen the time, or leave out a part of the filter to see which one lets nothing through.
        </p>
      ) : (
        <Table
          label="Events that match"
          rows={sample}
          keyOf={({ event }) => event.event_id}
          columns={columns}
        />
      )}
    </Panel>
  )
}

/** What a trial has shown. `stale`: another one is under way. */
export function Result({ result, stale }: { result: FilterTrialResult; stale: boolean }) {
  return (
    <div aria-busy={stale} className={classNames('flex flex-col gap-3', stale && 'opacity-60')}>
      <div className="grid gap-3 md:grid-cols-2">
        <Matched result={result} />
        <Verdict result={result} />
      </div>
      <Forms result={result} />
      <Sample result={result} />
    </div>
  )
}
