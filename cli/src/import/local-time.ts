import { parseInstant } from '@pulse/protocol/instant'

/** Reads a time as files write it and gives RFC 3339, or undefined if it is none. */
export type ReadTime = (value: unknown) => string | undefined

const written = /^(\d{4})[-/.](\d\d?)[-/.](\d\d?)(?:[T ](\d\d?):(\d\d)(?::(\d\d)(?:[.,](\d{1,9}))?)?)?$/
const two = (digits: string | undefined) => (digits ?? '0').padStart(2, '0')

/**
 * Makes a reader of times. Times with an offset are taken as they are; dates and times without one are read in
 * `timezone` (an IANA name); numbers are seconds, milliseconds or microseconds since 1970, told by their size.
 * Throws RangeError if there is no such time zone.
 */
export function createReadTime(timezone: string): ReadTime {
  const offsetOf = createOffsets(timezone)
  return (value) => {
    const text = String(value).trim()
    const number = typeof value === 'number' || /^-?\d{9,17}(\.\d+)?$/.test(text) ? Number(text) : undefined
    if (number !== undefined) return fromEpoch(number)
    if (parseInstant(text) !== undefined) return text
    const parts = written.exec(text)
    if (!parts) return undefined
    const [, year, month, day, hour, minute, second, fraction] = parts
    const local = `${year}-${two(month)}-${two(day)}T${two(hour)}:${two(minute)}:${two(second)}`
    const micros = (fraction ?? '').padEnd(6, '0').slice(0, 6)
    // Refuses days that do not exist, such as 30 February, which Date would move into March.
    if (parseInstant(`${local}Z`) === undefined) return undefined
    return `${toUtc(Date.parse(`${local}Z`), offsetOf)}.${micros}Z`
  }
}

function fromEpoch(value: number): string | undefined {
  const size = Math.abs(value)
  const ms = size < 1e11 ? value * 1000 : size < 1e14 ? value : value / 1000
  const at = new Date(ms)
  return Number.isNaN(at.getTime()) || at.getUTCFullYear() < 1 || at.getUTCFullYear() > 9999
    ? undefined
    : at.toISOString()
}

/** Finds the instant of a wall clock time. Of an hour that a clock shows twice, the first is taken. */
function toUtc(wallMs: number, offsetOf: (ms: number) => number): string {
  const dayMs = 86_400_000
  const before = offsetOf(wallMs - dayMs)
  const fits = wallMs - before
  const ms = offsetOf(fits) === before ? fits : wallMs - offsetOf(wallMs + dayMs)
  return new Date(ms).toISOString().slice(0, 19)
}

/** Gives the offset of a time zone from UTC at an instant, both in milliseconds. */
function createOffsets(timezone: string): (ms: number) => number {
  if (/^(UTC|Z|GMT)$/i.test(timezone)) return () => 0
  const clock = new Intl.DateTimeFormat('en-US', {
    timeZone: timezone,
    hourCycle: 'h23',
    year: 'numeric',
    month: 'numeric',
    day: 'numeric',
    hour: 'numeric',
    minute: 'numeric',
    second: 'numeric',
  })
  return (ms) => {
    const shown = new Map(clock.formatToParts(ms).map(({ type, value }) => [type, Number(value)]))
    const part = (name: Intl.DateTimeFormatPartTypes) => shown.get(name) ?? 0
    const wall = Date.UTC(
      part('year'),
      part('month') - 1,
      part('day'),
      part('hour'),
      part('minute'),
      part('second'),
    )
    return wall - Math.floor(ms / 1000) * 1000
  }
}
