import type { History } from '@pulse/client'

type Series = History['series']
type Name = keyof Series

/**
 * Joins what is held of the history with what was just fetched: later answers win where both know a second,
 * and what is older than `spanSeconds` before the newest point goes. Fetching only the last few seconds and
 * joining them keeps a page that redraws every second from moving the whole history each time.
 */
export function joinHistory(held: History | undefined, fresh: History, spanSeconds: number): History {
  if (!held || held.interval_seconds !== fresh.interval_seconds) return fresh
  const newest = fresh.series.at.at(-1)
  if (newest === undefined) return held
  const from = newest - spanSeconds
  const firstFresh = fresh.series.at[0] ?? newest
  const start = held.series.at.findIndex((at) => at > from)
  const firstRepeated = held.series.at.findIndex((at) => at >= firstFresh)
  const end = firstRepeated < 0 ? held.series.at.length : firstRepeated
  const joined: Record<string, readonly (number | null)[]> = {}
  for (const name of Object.keys(fresh.series) as Name[])
    joined[name] = [...(start < 0 ? [] : (held.series[name] ?? []).slice(start, end)), ...fresh.series[name]]
  // Every column of `fresh` is there again, so the record is whole; the compiler cannot see it through the loop.
  return { interval_seconds: fresh.interval_seconds, series: joined as unknown as Series }
}

/** How many seconds of history to fetch so that nothing is missed between what is held and now (unix seconds). */
export function secondsToFetch(held: History | undefined, nowSeconds: number, spanSeconds: number): number {
  const newest = held?.series.at.at(-1)
  if (newest === undefined) return spanSeconds
  // Two more than the gap: the newest second may have been measured only in part.
  return Math.min(spanSeconds, Math.max(3, Math.ceil(nowSeconds - newest) + 2))
}
