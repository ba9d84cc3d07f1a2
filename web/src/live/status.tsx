import type { FollowState } from '@pulse/client/following'
import { Link } from '@tanstack/react-router'
import { Button, classNames, formatCount, formatRate, Icon, type IconName, useNow } from '../design/design.ts'
import { feedLimits, type Shown } from './feed.ts'
import type { Reading } from './rows.tsx'

interface Told {
  readonly icon: IconName
  readonly ink: string
  readonly word: string
  /** Why it is so, or what comes next. */
  readonly why?: string
}

const holdReasons: Readonly<Record<string, string>> = {
  hidden: 'Nobody has seen this tab for a minute.',
  offline: 'This browser has no network.',
}

function tell({ kind, failures, holds, retryAtMs, error }: FollowState, nowMs: number): Told {
  switch (kind) {
    case 'live':
      return { icon: 'check', ink: 'text-ok', word: 'Connected' }
    case 'connecting':
      return { icon: 'clock', ink: 'text-muted', word: failures > 0 ? 'Connecting again' : 'Connecting' }
    case 'waiting': {
      const seconds = Math.max(1, Math.ceil(((retryAtMs ?? nowMs) - nowMs) / 1_000))
      const word = `Connecting again in ${seconds} s`
      return { icon: 'retry', ink: 'text-bad', word, ...(error ? { why: error.detail } : {}) }
    }
    case 'held':
      return {
        ...{ icon: 'drop', ink: 'text-warn', word: 'Not connected' },
        why: holds.map((reason) => holdReasons[reason] ?? reason).join(' '),
      }
    case 'ended':
      return { icon: 'cross', ink: 'text-bad', word: 'Ended', ...(error ? { why: error.detail } : {}) }
  }
}

/** A rate that does not pretend to more than it knows. */
const tidied = (rate: number) => (rate < 100 ? Math.round(rate * 10) / 10 : Math.round(rate))

/** Why the list stands still, what waits, and the way to see it. */
export interface Stillness {
  readonly paused: boolean
  readonly reading: Reading
  readonly onShow: () => void
}

const reasons = {
  pointing: 'Held while the pointer is on the list',
  focused: 'Held while a row has the focus',
  scrolled: 'Held while you read further down',
} as const

function Held({ paused, reading, onShow, waiting }: Stillness & { waiting: number }) {
  const count =
    waiting === 0 ? 'Nothing new' : `${formatCount(waiting)} new ${waiting === 1 ? 'event' : 'events'}`
  return (
    <>
      <p className="figures ml-auto flex flex-wrap items-center gap-x-2 text-accent">
        <Icon name="pause" size={14} />
        <span>{paused ? 'Paused' : reading && reasons[reading]}</span>
        <span className="font-medium">{count}</span>
      </p>
      <Button look="quiet" icon={paused ? 'play' : 'first'} className="-my-1" onClick={onShow}>
        {paused ? 'Resume' : 'Show'}
      </Button>
    </>
  )
}

/**
 * How the page is connected, with why where it is not, and how much comes or waits. All of it in one bar of one height:
 * a line that came and went would move the rows that it wants to hold still.
 */
export function Status({
  connection,
  shown,
  stillness,
  onRetry,
}: {
  connection: FollowState
  shown: Shown
  stillness: Stillness
  onRetry: () => void
}) {
  const nowMs = useNow(1_000)
  const { icon, ink, word, why } = tell(connection, nowMs)
  const isLive = connection.kind === 'live'
  const isGone = connection.kind === 'waiting' || connection.kind === 'ended'
  const isHeld = stillness.paused || (stillness.reading !== undefined && shown.waiting > 0)
  return (
    <div className="sticky top-13 z-10 flex min-h-11 flex-wrap items-center gap-x-4 gap-y-1 rounded-t-lg border-b border-hairline bg-surface px-4 py-2 text-sm md:top-0">
      <p className={classNames('figures inline-flex items-center gap-1.5 font-medium', ink)}>
        <Icon name={icon} size={14} />
        {word}
      </p>
      <span role="status" className="sr-only">
        {isGone ? `Connection lost. ${why ?? ''}` : ''}
        {isLive ? 'Connected to the stream' : ''}
      </span>
      {why && <p className="text-muted">{why}</p>}
      {isGone && (
        <Button look="quiet" icon="retry" className="-my-1" onClick={onRetry}>
          {connection.kind === 'ended' ? 'Try again' : 'Now'}
        </Button>
      )}
      {isHeld ? (
        <Held {...stillness} waiting={shown.waiting} />
      ) : (
        isLive && (
          <p className="figures ml-auto text-muted">
            <span className="font-medium text-ink">{formatRate(tidied(shown.perSecond))}</span> per second,{' '}
            {formatCount(shown.seen)} since the page opened
          </p>
        )
      )}
    </div>
  )
}

/** Says that not all is shown, and where all of it is. */
export function Sampled({ shown }: { shown: Shown }) {
  const perSecondMax = (feedLimits.rowsPerTick * 1_000) / feedLimits.tickMs
  const share = Math.max(2, Math.round(shown.perSecond / perSecondMax))
  return (
    <p
      role="status"
      className="flex flex-wrap items-center gap-x-2 gap-y-1 border-b border-hairline bg-warn-soft px-4 py-2 text-sm text-warn"
    >
      <Icon name="alert" size={14} />
      <span className="font-medium">More comes than anybody can read: about 1 in {share} is shown.</span>
      <span className="text-ink">
        Write a narrower filter, or find all of them under{' '}
        <Link to="/events" className="underline underline-offset-2">
          Events
        </Link>
        .
      </span>
    </p>
  )
}
