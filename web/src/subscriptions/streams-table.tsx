import { Link } from '@tanstack/react-router'
import { useState } from 'react'
import type { OpenStream } from '../delivery/queries.ts'
import {
  Badge,
  Button,
  type Column,
  EmptyState,
  formatBytes,
  formatCount,
  formatSpan,
  type IconName,
  Instant,
  Table,
  type Tone,
} from '../design/design.ts'

const states: Record<OpenStream['state'], { tone: Tone; icon: IconName; word: string }> = {
  live: { tone: 'ok', icon: 'check', word: 'live' },
  replaying: { tone: 'accent', icon: 'clock', word: 'catching up' },
  waiting: { tone: 'accent', icon: 'clock', word: 'waiting to catch up' },
  lagging: { tone: 'warn', icon: 'alert', word: 'too slow' },
  quiet: { tone: 'neutral', icon: 'pause', word: 'not begun' },
}

const transports: Record<OpenStream['transport'], string> = {
  websocket: 'WebSocket',
  plain: 'plain WebSocket',
  sse: 'event stream',
  webhook: 'Webhook',
}

// What is below has its place on the page too; whoever wants to see more asks for it.
const shownFirst = 15
const shownMax = 100

/** What needs a look comes first: who is too slow, then who is furthest behind. */
const byNeed = (a: OpenStream, b: OpenStream) =>
  Number(b.state === 'lagging') - Number(a.state === 'lagging') ||
  (b.behind_seconds ?? Infinity) - (a.behind_seconds ?? Infinity) ||
  b.behind_events - a.behind_events ||
  b.opened_at.localeCompare(a.opened_at)

/** A figure that is worth a colour unless it is none. */
function Count({ value, tone }: { value: number; tone: 'warn' | 'bad' }) {
  if (value === 0) return <span className="text-faint">0</span>
  return (
    <span className={tone === 'bad' ? 'font-medium text-bad' : 'font-medium text-warn'}>
      {formatCount(value)}
    </span>
  )
}

/** How old the oldest event is that a stream has not passed, and how many there are. */
function Behind({ stream: { behind_events, behind_seconds, queued_bytes } }: { stream: OpenStream }) {
  const age = behind_seconds === null ? '' : `${formatSpan(behind_seconds)}, `
  return (
    <span className="whitespace-nowrap">
      {behind_events === 0 ? (
        <span className="text-faint">0 s</span>
      ) : (
        <span className="font-medium text-warn">
          {age}
          {formatCount(behind_events)} {behind_events === 1 ? 'event' : 'events'}
        </span>
      )}
      {queued_bytes > 0 && <span className="text-muted">, {formatBytes(queued_bytes)} queued</span>}
    </span>
  )
}

const columns: readonly Column<OpenStream>[] = [
  {
    name: 'Subscriber',
    long: true,
    lead: true,
    cell: ({ subscriber, filters }) =>
      subscriber === null ? (
        <span className="text-muted">{filters.length > 0 ? 'a filter of its own' : 'nobody'}</span>
      ) : (
        <Link to="/subscriptions" search={{ subscriber }} data-row className="font-medium hover:underline">
          {subscriber}
        </Link>
      ),
  },
  {
    name: 'State',
    lead: true,
    cell: ({ state }) => {
      const { tone, icon, word } = states[state]
      return (
        <Badge tone={tone} icon={icon}>
          {word}
        </Badge>
      )
    },
  },
  {
    name: 'Transport',
    className: 'sm:max-xl:hidden',
    cell: ({ transport }) => <span className="text-muted">{transports[transport]}</span>,
  },
  {
    name: 'Behind',
    align: 'right',
    cell: (stream) => <Behind stream={stream} />,
  },
  { name: 'Delivered', align: 'right', cell: ({ delivered }) => formatCount(delivered) },
  { name: 'Gaps', align: 'right', cell: ({ gaps }) => <Count value={gaps} tone="bad" /> },
  {
    name: 'Too slow',
    align: 'right',
    className: 'sm:max-xl:hidden',
    cell: ({ lagged }) => <Count value={lagged} tone="warn" />,
  },
  {
    name: 'Open since',
    align: 'right',
    className: 'sm:max-lg:hidden',
    cell: ({ opened_at }) => <Instant at={opened_at} inRow />,
  },
]

/** Who is connected to this server now. */
export function StreamsTable({
  streams,
  subscriber,
}: {
  streams: readonly OpenStream[]
  subscriber: string | undefined
}) {
  const [isWhole, setWhole] = useState(false)
  if (streams.length === 0)
    return (
      <EmptyState icon="listen" title={subscriber ? `${subscriber} is not connected` : 'Nobody listens now'}>
        A stream shows up here as soon as a client opens one, with{' '}
        <code className="font-mono text-sm">pulse.subscribe</code> in the SDK or{' '}
        <code className="font-mono text-sm">/ws/{subscriber ?? 'user_1'}</code>. What matches meanwhile is not
        lost: whoever comes back with a position gets it.
      </EmptyState>
    )
  const shown = [...streams].sort(byNeed).slice(0, isWhole ? shownMax : shownFirst)
  const left = streams.length - shown.length
  return (
    <>
      <Table label="Open streams" rows={shown} keyOf={({ session }) => session} columns={columns} />
      {left > 0 && (
        <p className="flex flex-wrap items-center gap-x-3 gap-y-1 px-4 py-2 text-sm text-muted">
          And {formatCount(left)} more. Those furthest behind come first; name a subscriber to see theirs.
          {!isWhole && (
            <Button look="quiet" icon="listen" onClick={() => setWhole(true)}>
              Show {formatCount(Math.min(left, shownMax - shownFirst))} more
            </Button>
          )}
        </p>
      )}
    </>
  )
}
