/**
 * How the text of a setting becomes a value. A kind reads what a flag, the environment or a `.env` file gives (text)
 * and what a config file gives (text, number, boolean, list); `undefined` means: not one of these.
 */
export interface Kind<T> {
  /** Completes the sentence "expected …". */
  readonly expected: string
  read(raw: unknown): T | undefined
  /** The value as one would write it in the environment. */
  write(value: T): string
}

/** A whole number within bounds, both inclusive. */
export function wholeNumber(bounds: { min: number; max: number }): Kind<number> {
  return {
    expected: `a whole number from ${bounds.min} to ${bounds.max}`,
    read: (raw) => {
      const value = typeof raw === 'string' && /^-?\d{1,15}$/.test(raw.trim()) ? Number(raw) : raw
      const fits =
        typeof value === 'number' && Number.isInteger(value) && value >= bounds.min && value <= bounds.max
      return fits ? value : undefined
    },
    write: String,
  }
}

/** A number above 0 and at most 1. */
export const ratio: Kind<number> = {
  expected: 'a number above 0 and up to 1',
  read: (raw) => {
    const value = typeof raw === 'string' && /^\d*\.?\d+$/.test(raw.trim()) ? Number(raw) : raw
    return typeof value === 'number' && value > 0 && value <= 1 ? value : undefined
  },
  write: String,
}

const truths: Readonly<Record<string, boolean>> = {
  true: true,
  '1': true,
  yes: true,
  on: true,
  false: false,
  '0': false,
  no: false,
  off: false,
}

/** Yes or no. */
export const yesNo: Kind<boolean> = {
  expected: 'true or false',
  read: (raw) =>
    typeof raw === 'boolean' ? raw : typeof raw === 'string' ? truths[raw.trim().toLowerCase()] : undefined,
  write: String,
}

/** One of a few words. */
export function oneOf<const Word extends string>(...words: readonly Word[]): Kind<Word> {
  return {
    expected: words.length === 2 ? words.join(' or ') : `one of ${words.join(', ')}`,
    read: (raw) => words.find((word) => word === raw),
    write: (value) => value,
  }
}

/** Text that is not empty. */
export function text(expected: string, test: (value: string) => boolean = () => true): Kind<string> {
  return {
    expected,
    read: (raw) => (typeof raw === 'string' && raw !== '' && test(raw) ? raw : undefined),
    write: (value) => value,
  }
}

/** A list, written with commas in the environment. Empty text is the empty list. */
export function listOf<T>(item: Kind<T>, expected: string): Kind<readonly T[]> {
  return {
    expected,
    read: (raw) => {
      const parts = typeof raw === 'string' ? raw.split(',').map((part) => part.trim()) : raw
      if (!Array.isArray(parts)) return undefined
      const items = parts.filter((part) => part !== '').map((part) => item.read(part))
      return items.every((value) => value !== undefined) ? items : undefined
    },
    write: (value) => value.map((one) => item.write(one)).join(','),
  }
}

/** An absolute address with one of the given schemes. */
export function address(...schemes: readonly string[]): Kind<string> {
  return text(
    `an address that starts with ${schemes.map((scheme) => `${scheme}//`).join(' or ')}`,
    (value) => {
      return URL.canParse(value) && schemes.includes(new URL(value).protocol)
    },
  )
}

/** So many requests in so much time. */
export interface Rate {
  readonly count: number
  readonly windowMs: number
}

const unitMs: Readonly<Record<string, number>> = { s: 1_000, m: 60_000, h: 3_600_000 }

/** A rate such as `100/1m`, or nothing at all for none. */
export const rate: Kind<Rate | null> = {
  expected: 'a rate such as 100/1m (units s, m, h), or empty for none',
  read: (raw) => {
    if (raw === '' || raw === null) return null
    const parts = typeof raw === 'string' ? /^(\d{1,9})\/(\d{0,5})([smh])$/.exec(raw.trim()) : null
    if (!parts) return undefined
    const windowMs = Number(parts[2] || '1') * (unitMs[parts[3] ?? ''] ?? 0)
    return Number(parts[1]) > 0 && windowMs > 0 ? { count: Number(parts[1]), windowMs } : undefined
  },
  write: (value) => {
    if (value === null) return ''
    const unit = value.windowMs % 3_600_000 === 0 ? 'h' : value.windowMs % 60_000 === 0 ? 'm' : 's'
    return `${value.count}/${value.windowMs / (unitMs[unit] ?? 1)}${unit}`
  },
}
