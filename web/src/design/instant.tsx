import { createContext, useContext, useEffect, useState } from 'react'
import { classNames } from './class-names.ts'
import { formatAge, formatClock, formatInstant } from './format.ts'

/** Whether times in tables read as an age ("5 min ago") or as the clock; a preference of the reader. */
export const TimesContext = createContext<'age' | 'clock'>('age')

/** The time now, in milliseconds since 1970, again each `everyMs` while the page is seen. */
export function useNow(everyMs: number): number {
  const [now, setNow] = useState(Date.now)
  useEffect(() => {
    const timer = setInterval(() => {
      if (!document.hidden) setNow(Date.now())
    }, everyMs)
    return () => clearInterval(timer)
  }, [everyMs])
  return now
}

/**
 * An instant as its age, with the exact time shown on hover and on focus. `as` overrules the reader's preference
 * where only one of the two makes sense. In tables (`inRow`) it is no stop for the Tab key, or every row would have
 * several: the preference "clock" and the event's own page (`ExactInstant`) give the exact time without a mouse.
 */
export function Instant({ at, inRow = false, as }: { at: string; inRow?: boolean; as?: 'age' | 'clock' }) {
  const preferred = useContext(TimesContext)
  const now = useNow(Date.now() - Date.parse(at) < 60_000 ? 1000 : 15_000)
  const exact = formatInstant(at)
  return (
    <time
      dateTime={at}
      // Focus shows the exact time to whoever has no mouse.
      tabIndex={inRow ? undefined : 0}
      className={classNames('group/time relative whitespace-nowrap', !inRow && 'rounded-sm')}
    >
      {(as ?? preferred) === 'clock' ? formatClock(at, now) : formatAge(at, now)}
      <span
        className={classNames(
          'pointer-events-none absolute top-full left-0 z-20 mt-1 hidden rounded-sm bg-ink px-2 py-1 text-xs whitespace-nowrap text-canvas',
          'group-hover/time:block group-focus/time:block',
        )}
      >
        {exact}
      </span>
    </time>
  )
}

/** An instant to the millisecond, and how long ago that was: for where one thing is read, not many compared. */
export function ExactInstant({ at }: { at: string }) {
  const now = useNow(15_000)
  const age = formatAge(at, now)
  return (
    <time dateTime={at}>
      {formatInstant(at)}
      {/* Past a day the age is the date, which stands there already. */}
      {/ago$|^in /.test(age) && <span className="text-muted"> ({age})</span>}
    </time>
  )
}
