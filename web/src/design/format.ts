const count = new Intl.NumberFormat('en', { maximumFractionDigits: 0 })
const short = new Intl.NumberFormat('en', { notation: 'compact', maximumSignificantDigits: 3 })
const threeDigits = new Intl.NumberFormat('en', { maximumSignificantDigits: 3 })

/** Writes a count: exact below 100,000 (`12,345`), then in three digits (`1.23M`). */
export function formatCount(value: number): string {
  return Math.abs(value) < 100_000 ? count.format(value) : short.format(value)
}

/** Writes a rate in three digits, small ones too: `0.25`, `42`, `1.2K`. */
export function formatRate(value: number): string {
  return Math.abs(value) < 1000 ? threeDigits.format(value) : short.format(value)
}

/** A number and its unit, apart, so that a tile can set the unit smaller. */
export interface Measured {
  readonly value: string
  readonly unit: string
}

/** Splits a duration in milliseconds into a number in three digits and the unit that suits it: µs, ms, s, min or h. */
export function measureMs(ms: number): Measured {
  if (ms === 0) return { value: '0', unit: 'ms' }
  if (ms < 1) return { value: threeDigits.format(ms * 1000), unit: 'µs' }
  if (ms < 1000) return { value: threeDigits.format(ms), unit: 'ms' }
  if (ms < 60_000) return { value: threeDigits.format(ms / 1000), unit: 's' }
  if (ms < 3_600_000) return { value: threeDigits.format(ms / 60_000), unit: 'min' }
  return { value: threeDigits.format(ms / 3_600_000), unit: 'h' }
}

/** Writes a duration in milliseconds: `640 µs`, `3.2 ms`, `1.5 s`. */
export function formatMs(ms: number): string {
  const { value, unit } = measureMs(ms)
  return `${value} ${unit}`
}

/** Writes bytes in binary units with three digits: `512 B`, `142 MiB`. */
export function formatBytes(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB']
  let value = bytes
  let unit = 0
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024
    unit++
  }
  return `${threeDigits.format(value)} ${units[unit]}`
}

/** Writes a long duration in seconds by its two largest units: `42 s`, `5 min 3 s`, `3 h 12 min`, `9 d 4 h`. */
export function formatSpan(seconds: number): string {
  const whole = Math.max(0, Math.floor(seconds))
  const units = [
    { size: 86_400, name: 'd' },
    { size: 3600, name: 'h' },
    { size: 60, name: 'min' },
    { size: 1, name: 's' },
  ]
  const first = units.findIndex((unit) => whole >= unit.size)
  if (first < 0) return '0 s'
  let rest = whole
  const parts: string[] = []
  for (const unit of units.slice(first, first + 2)) {
    const amount = Math.floor(rest / unit.size)
    rest -= amount * unit.size
    if (amount > 0) parts.push(`${amount} ${unit.name}`)
  }
  return parts.join(' ')
}

/**
 * Writes how long ago an instant was, as of `nowMs` (milliseconds since 1970): `0.4 s ago`, `5 min ago`.
 * Past a day it is the date, because nobody counts in weeks; what lies ahead reads `in 5 min`.
 */
export function formatAge(instant: string, nowMs: number): string {
  const seconds = (nowMs - Date.parse(instant)) / 1000
  if (Number.isNaN(seconds)) return instant
  const size = Math.abs(seconds)
  if (size >= 86_400)
    return new Date(instant).toLocaleDateString('en-GB', { day: 'numeric', month: 'short', year: 'numeric' })
  const text = size < 10 ? `${size.toFixed(1)} s` : formatSpan(size).split(' ').slice(0, 2).join(' ')
  return seconds < 0 ? `in ${text}` : `${text} ago`
}

/** Writes an instant in the reader's own time zone, to the millisecond: `21 Nov 2026, 10:00:00.123 GMT+1`. */
export function formatInstant(instant: string): string {
  const at = new Date(instant)
  if (Number.isNaN(at.getTime())) return instant
  return at.toLocaleString('en-GB', {
    day: 'numeric',
    month: 'short',
    year: 'numeric',
    hour: '2-digit',
    minute: '2-digit',
    second: '2-digit',
    fractionalSecondDigits: 3,
    timeZoneName: 'short',
  })
}

// They turn the direction of what follows, so that a value could be shown as another one.
const directionControls = /[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/g
const escaped = (char: string) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`

/** Writes a value as JSON in which no invisible character steers the text; with `indent`, over several lines. */
export function formatJson(value: unknown, indent?: number): string {
  return JSON.stringify(value, null, indent).replace(directionControls, escaped)
}

/** Writes the time of day of a second since 1970 in the reader's own time zone: `10:42:07`, or `10:42`. */
export function formatTimeOfDay(second: number, withSeconds = true): string {
  const text = new Date(second * 1000).toLocaleTimeString('en-GB')
  return withSeconds ? text : text.slice(0, 5)
}

/** Writes an instant as briefly as a table column allows: the time, to the second, and the day unless it is today. */
export function formatClock(instant: string, nowMs: number): string {
  const at = new Date(instant)
  if (Number.isNaN(at.getTime())) return instant
  const time = at.toLocaleTimeString('en-GB')
  if (at.toDateString() === new Date(nowMs).toDateString()) return time
  return `${at.toLocaleDateString('en-GB', { day: 'numeric', month: 'short' })}, ${time}`
}
