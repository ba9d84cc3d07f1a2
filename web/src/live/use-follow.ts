import { type Following, type FollowState, follow } from '@pulse/client/following'
import { useCallback, useEffect, useRef, useState, useSyncExternalStore } from 'react'
import { formatSpan } from '../design/design.ts'
import { Feed, feedLimits, type Shown } from './feed.ts'

/** After this long without a connection it goes on from now: a page of the present is no place to catch up. */
const absenceMsMax = 60_000

const gapReasons = {
  retention: 'they are older than what the log still holds',
  epoch: 'the log is another one now',
  dropped: 'they came faster than they could be sent',
  corrupt: 'a part of the log cannot be read',
  position_gone: 'the server does not know the last position any more',
} as const

const connecting: FollowState = {
  kind: 'connecting',
  failures: 0,
  holds: [],
  retryAtMs: undefined,
  error: undefined,
}

export interface Followed {
  readonly shown: Shown
  readonly connection: FollowState
  /** Lets nothing move, or everything again. */
  readonly hold: (held: boolean) => void
  /** Tries again at once, also after an end. */
  readonly retry: () => void
}

/** Follows a filter for as long as the page is there. */
export function useFollow(filter: string): Followed {
  const [feed] = useState(() => new Feed())
  const [connection, setConnection] = useState<FollowState>(connecting)
  const [attempt, setAttempt] = useState(0)
  const following = useRef<Following>(undefined)
  const shown = useSyncExternalStore(feed.watch, () => feed.shown)
  const hold = useCallback((held: boolean) => feed.hold(held), [feed])
  // biome-ignore lint/correctness/useExhaustiveDependencies: another attempt begins anew with the same filter.
  useEffect(() => {
    feed.clear()
    const told = tellLosses(feed)
    following.current = follow(
      {
        filter,
        absenceMsMax,
        onEvent: (event) => feed.event(event),
        onGap: ({ reason }) => feed.note(`Some events will not come: ${gapReasons[reason]}.`, 'warn'),
        onLagging: () => feed.note('This page was too slow. What was left out comes now.', 'warn'),
        onSkipped: (sinceMs) =>
          feed.note(
            `Not connected for ${formatSpan((Date.now() - sinceMs) / 1_000)}: goes on from now.`,
            'warn',
          ),
        onConnection: (state) => {
          told(state)
          setConnection(state)
        },
      },
      { url: '' },
    )
    setConnection(following.current.connection)
    const timer = setInterval(() => feed.tick(), feedLimits.tickMs)
    return () => {
      clearInterval(timer)
      following.current?.close()
    }
  }, [feed, filter, attempt])
  const retry = () => {
    if (connection.kind === 'ended') setAttempt((before) => before + 1)
    else following.current?.retry()
  }
  return { shown, connection, hold, retry }
}

/** Notes in the list when the connection came back, and how long it was away. */
function tellLosses(feed: Feed): (state: FollowState) => void {
  let lostAtMs: number | undefined
  let wasLive = false
  return ({ kind }) => {
    if (kind === 'live') {
      if (lostAtMs !== undefined && wasLive && Date.now() - lostAtMs <= absenceMsMax)
        feed.note(
          `Connected again after ${formatSpan(Math.ceil((Date.now() - lostAtMs) / 1_000))}, and goes on where it was.`,
        )
      lostAtMs = undefined
      wasLive = true
    } else if (kind === 'waiting' || kind === 'held') lostAtMs ??= Date.now()
  }
}
