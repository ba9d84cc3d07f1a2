/**
 * An instant with microseconds, written the one way Pulse writes it: `2026-11-21T10:00:00.000123Z`.
 * JavaScript's Date stops at milliseconds, so instants travel as this text (which sorts as it counts) and
 * as microseconds since 1970 in a number (exact until the year 2255) where arithmetic is needed.
 */
export type Instant = string

const rfc3339 =
  /^(\d{4})-(\d\d)-(\d\d)[Tt ]([01]\d|2[0-3]):([0-5]\d):([0-5]\d|60)(?:\.(\d{1,9}))?(?:([Zz])|([+-])([01]\d|2[0-3]):([0-5]\d))$/

const daysIn = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]

function dayExists(year: number, month: number, day: number): boolean {
  if (!(month >= 1 && month <= 12 && day >= 1)) return false
  const leap = year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0)
  return day <= (month === 2 && leap ? 29 : (daysIn[month - 1] ?? 0))
}

/**
 * Reads an RFC 3339 date-time with any offset and returns its instant in UTC, or undefined if it is none.
 * Digits beyond the microsecond are cut; a leap second is the first second of the next minute; an instant
 * outside the years 0001 to 9999 (after applying the offset) is refused, because no column could hold it.
 */
export function parseInstant(text: string): Instant | undefined {
  return parsePlainUtc(text) ?? parseAny(text)
}

// `toISOString()` writes 24 characters, and so do most clients; without a regular expression that is five times as fast.
function parsePlainUtc(text: string): Instant | undefined {
  if (text.length !== 24 || text[10] !== 'T' || text[19] !== '.' || text[23] !== 'Z') return undefined
  if (text[4] !== '-' || text[7] !== '-' || text[13] !== ':' || text[16] !== ':') return undefined
  const year = 100 * twoDigits(text, 0) + twoDigits(text, 2)
  // A part that is no number is NaN, which fails every comparison.
  const exists =
    year >= 1 &&
    dayExists(year, twoDigits(text, 5), twoDigits(text, 8)) &&
    twoDigits(text, 11) < 24 &&
    twoDigits(text, 14) < 60 &&
    twoDigits(text, 17) < 60 &&
    twoDigits(text, 20) + twoDigits(text, 21) >= 0
  return exists ? `${text.slice(0, 23)}000Z` : undefined
}

function twoDigits(text: string, at: number): number {
  const tens = text.charCodeAt(at) - 48
  const ones = text.charCodeAt(at + 1) - 48
  return tens >= 0 && tens <= 9 && ones >= 0 && ones <= 9 ? 10 * tens + ones : Number.NaN
}

function parseAny(text: string): Instant | undefined {
  const parts = rfc3339.exec(text)
  if (!parts) return undefined
  const [, year, month, day, hour, minute, second, fraction, zulu, sign, offsetHour, offsetMinute] = parts
  if (!dayExists(Number(year), Number(month), Number(day))) return undefined
  const micros = `${fraction ?? ''}000000`.slice(0, 6)
  if (zulu && second !== '60' && year !== '0000')
    return `${year}-${month}-${day}T${hour}:${minute}:${second}.${micros}Z`
  const offsetMs = zulu ? 0 : (Number(offsetHour) * 60 + Number(offsetMinute)) * 60_000
  const local = new Date(0)
  local.setUTCFullYear(Number(year), Number(month) - 1, Number(day))
  local.setUTCHours(Number(hour), Number(minute), Number(second))
  const at = new Date(local.getTime() + (sign === '-' ? offsetMs : -offsetMs))
  if (at.getUTCFullYear() < 1 || at.getUTCFullYear() > 9999) return undefined
  return `${at.toISOString().slice(0, 19)}.${micros}Z`
}

/** Writes microseconds since 1970 as an instant. */
export function instantOf(micros: number): Instant {
  const ms = Math.floor(micros / 1000)
  const rest = micros - ms * 1000
  return `${new Date(ms).toISOString().slice(0, 23)}${String(rest).padStart(3, '0')}Z`
}

/** Makes `instantOf` for many instants near each other: formats a second once and only its microseconds each time. */
export function createInstantWriter(): (micros: number) => Instant {
  let second = Number.NaN
  let begin = ''
  return (micros) => {
    const seconds = Math.floor(micros / 1_000_000)
    if (seconds !== second) {
      second = seconds
      begin = new Date(seconds * 1000).toISOString().slice(0, 20)
    }
    return `${begin}${String(micros - seconds * 1_000_000).padStart(6, '0')}Z`
  }
}

/** Milliseconds since 1970 of an instant; the microseconds are cut. */
export function millisOf(instant: Instant): number {
  return Date.parse(instant)
}

/** Microseconds since 1970 of an instant. */
export function microsOf(instant: Instant): number {
  return Date.parse(`${instant.slice(0, 19)}Z`) * 1000 + Number(instant.slice(20, 26))
}
