/** One figure of a measurement with its unit; null: it is not known. */
interface Figure {
  readonly name: string
  readonly value: number | null
  readonly unit: string
}

/** One event of the stream of measurements, as the server sends it. */
export interface Measurement {
  readonly topic: string
  /** A share in percent; null: it is not known. */
  readonly value: number | null
  /** Of what, in words that follow the number. */
  readonly value_of: string
  /** RFC 3339. */
  readonly at: string
  readonly figures: readonly Figure[]
}

/** What is on the screen at most. */
export const shownMax = 20

/** What the page knows: the newest events first, and how many there were. */
export interface Feed {
  readonly shown: readonly Measurement[]
  readonly captured: number
  /** The newest number that came of each run of a server: after a new connection it may be sent once more. */
  readonly seen: ReadonlyMap<string, number>
  readonly isPaused: boolean
}

export const emptyFeed: Feed = { shown: [], captured: 0, seen: new Map(), isPaused: false }

/**
 * The feed with one event more; while it is paused, or if the event came before, what is shown stays. `id` is a run of a
 * server and a number that grows, `9f1c2a7e-42`: a server that starts anew counts from one again.
 */
export function withEvent(feed: Feed, id: string, event: Measurement): Feed {
  const [run = '', number] = id.split('-')
  if (Number(number) <= (feed.seen.get(run) ?? 0)) return feed
  const next = { ...feed, captured: feed.captured + 1, seen: new Map(feed.seen).set(run, Number(number)) }
  return feed.isPaused ? next : { ...next, shown: [event, ...feed.shown].slice(0, shownMax) }
}

/** The feed without events and with its count at zero; what came is not shown again. */
export const cleared = (feed: Feed): Feed => ({ ...feed, shown: [], captured: 0 })

/** What stands in the place of an empty feed. */
export function emptyInWords({ seen, isPaused }: Feed, isConnected: boolean): string {
  if (isPaused) return 'Paused. What comes is counted, not shown.'
  if (!isConnected) return 'No connection to the server. It is tried again by itself.'
  return `Waiting for the ${seen.size === 0 ? 'first' : 'next'} event.`
}

/** The feed held still, so that it can be read, or going on. */
export const paused = (feed: Feed): Feed => ({ ...feed, isPaused: !feed.isPaused })

/** A figure in words, as people read it: `1,200 events/s received`, `memory 150 MB`. */
export function figureInWords({ name, value, unit }: Figure): string {
  if (value === null) return name === 'database answer' ? 'database does not answer' : `${name} unknown`
  const number = value.toLocaleString('en')
  const counted = value === 1 && !unit.includes('/') ? unit.replace(/s$/, '') : unit
  // What is counted or done stands behind its number, what is a thing before it.
  return /^(received|processed|waiting|answered|open|watching|refused|checked|claimed)$/.test(name)
    ? `${number} ${counted} ${name}`
    : `${name} ${number} ${unit}`
}
