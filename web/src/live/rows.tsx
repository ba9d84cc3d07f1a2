import type { Event } from '@pulse/protocol/event'
import { Link } from '@tanstack/react-router'
import { memo, type RefObject, useEffect, useState } from 'react'
import { classNames, formatJson, formatTimeOfDay, Icon } from '../design/design.ts'
import type { Row } from './feed.ts'

const columns = 'sm:grid-cols-[4.5rem_minmax(0,2fr)_minmax(0,1.3fr)_minmax(0,5fr)]'

function EventLine({ event }: { event: Event }) {
  const properties = formatJson(event.properties)
  return (
    <div className={classNames('grid grid-cols-[minmax(0,1fr)_auto] items-baseline gap-x-4', columns)}>
      <time dateTime={event.timestamp} className="order-2 text-xs text-muted sm:order-none">
        {formatTimeOfDay(Date.parse(event.timestamp) / 1_000)}
      </time>
      <Link
        to="/events/$eventId"
        params={{ eventId: event.event_id }}
        data-row
        // The whole line leads there.
        className="truncate font-medium -outline-offset-2 after:absolute after:inset-0 hover:underline"
      >
        {event.event_type}
      </Link>
      {/* On a phone the two share a line. */}
      <span className="order-3 col-span-2 flex min-w-0 items-baseline gap-3 sm:contents">
        <span className="max-w-32 shrink-0 truncate text-muted sm:max-w-none">
          {event.user_id ?? <span className="text-faint">none</span>}
        </span>
        <span className="min-w-0 truncate font-mono text-xs leading-5 text-muted">
          {properties === '{}' ? '' : properties}
        </span>
      </span>
    </div>
  )
}

// Most rows of a tick were there before: only the new ones are drawn.
const Line = memo(function Line({ row, fresh }: { row: Row; fresh: boolean }) {
  if (row.kind === 'note')
    return (
      <li
        className={classNames(
          'flex items-baseline gap-2 border-b border-hairline px-4 py-1.5 text-sm',
          row.tone === 'warn' ? 'bg-warn-soft text-warn' : 'bg-sunken text-muted',
        )}
      >
        <Icon name={row.tone === 'warn' ? 'alert' : 'link'} size={13} className="translate-y-0.5" />
        {row.text}
      </li>
    )
  return (
    <li
      className={classNames(
        'relative border-b border-hairline px-4 py-1.5 text-sm hover:bg-hover',
        fresh && 'fresh',
      )}
    >
      <EventLine event={row.event} />
    </li>
  )
})

/** The events, the newest first. `calm`: too many come to tint each. */
export function Rows({ rows, calm }: { rows: readonly Row[]; calm: boolean }) {
  return (
    <>
      <div
        aria-hidden="true"
        className={classNames(
          'hidden gap-x-4 border-b border-hairline px-4 py-2 text-xs font-medium text-muted sm:grid',
          columns,
        )}
      >
        <span>Happened</span>
        <span>Type</span>
        <span>User</span>
        <span>Properties</span>
      </div>
      <ol aria-label="Live events">
        {rows.map((row) => (
          <Line key={row.key} row={row} fresh={!calm} />
        ))}
      </ol>
    </>
  )
}

/** Why the list stands still by itself: somebody is about to press a row, or reads further down. */
export type Reading = 'pointing' | 'focused' | 'scrolled' | undefined

/** Watches whether somebody reads the list, once it has rows: nothing may move under a pointer, a focus or an eye. */
export function useReading(list: RefObject<HTMLElement | null>, hasRows: boolean): Reading {
  const [pointing, setPointing] = useState(false)
  const [focused, setFocused] = useState(false)
  const [scrolled, setScrolled] = useState(false)
  useEffect(() => {
    const element = list.current
    if (!element || !hasRows) return
    const on = (type: string, listener: (event: globalThis.Event) => void) => {
      element.addEventListener(type, listener)
      return () => element.removeEventListener(type, listener)
    }
    const isMouse = (event: globalThis.Event) =>
      event instanceof PointerEvent && event.pointerType === 'mouse'
    const look = () => setScrolled(element.getBoundingClientRect().top < -80)
    const ends = [
      on('pointerenter', (event) => setPointing(isMouse(event))),
      on('pointerleave', () => setPointing(false)),
      on('focusin', (event) =>
        setFocused(event.target instanceof HTMLElement && event.target.matches(':focus-visible')),
      ),
      on('focusout', () => setFocused(false)),
    ]
    window.addEventListener('scroll', look, { passive: true })
    look()
    return () => {
      for (const end of ends) end()
      window.removeEventListener('scroll', look)
    }
  }, [list, hasRows])
  return pointing ? 'pointing' : focused ? 'focused' : scrolled ? 'scrolled' : undefined
}
