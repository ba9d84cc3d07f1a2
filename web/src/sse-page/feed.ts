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
  /** Id of the newest event that came: after a new connection the server may send it once more. */
  readonly lastId: number
  readonly isPaused: boolean
}

export const emptyFeed: Feed = { shown: [], captured: 0, lastId: 0, isPaused: false }

/** The feed with one event more; while it is paused, or if the event came before, what is shown stays. */
export function withEvent(feed: Feed, id: number, event: Measurement): Feed {
  if (id <= feed.lastId) return feed
  const captured = feed.captured + 1
  if (feed.isPaused) return { ...feed, captured, lastId: id }
  return { ...feed, captured, lastId: id, shown: [event, ...feed.shown].slice(0, shownMax) }
}

/** The feed without events and with its count at zero; what came is not shown again. */
export const cleared = (feed: Feed): Feed => ({ ...feed, shown: [], captured: 0 })

/** The feed held still, so that it can be read, or going on. */
export const paused = (feed: Feed): Feed => ({ ...feed, isPaused: !feed.isPaused })

/** A figure in words, as people read it: `1,200 events/s received`, `memory 150 MB`. */
export function figureInWords({ name, value, unit }: Figure): string {
  if (value === null) return name === 'database answer' ? 'database does not answer' : `${name} unknown`
  const number = value.toLocaleString('en')
  const counted = value === 1 && !unit.includes('/') ? unit.replace(/s$/, '') : unit
  // What is counted or done stands behind its number, what is a thing before it.
  return /^(received|processed|waiting|answered|open|watching|refused)$/.test(name)
    ? `${number} ${counted} ${name}`
    : `${name} ${number} ${unit}`
}
