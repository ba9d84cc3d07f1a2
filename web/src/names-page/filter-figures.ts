import type { NameStats } from '@pulse/protocol/name'

/** The filter's figures as pairs of a word and a value. */
export function figuresOf(stats: NameStats): readonly (readonly [word: string, value: string])[] {
  const { expected, measured } = stats.false_positive_rate
  return [
    ['Names', stats.names_estimated.toLocaleString('en', { maximumFractionDigits: 0 })],
    ['Filled', percent(stats.fill)],
    ['Memory', `${(stats.bits / 8e6).toLocaleString('en', { maximumFractionDigits: 1 })} MB`],
    ['False positives', measured === null ? `${percent(expected)} expected` : percent(measured)],
    ['Generation', String(stats.generation)],
    ['Behind the log', `${stats.lag.toLocaleString('en')} claims`],
    ['Servers', String(stats.servers)],
    ['Certain', stats.certain ? 'yes' : 'no'],
  ]
}

const percent = (ratio: number) => `${(ratio * 100).toLocaleString('en', { maximumSignificantDigits: 2 })} %`

/** The figures, or undefined for whoever may not see them: a stranger is not even asked for, and sees no refusal. */
export async function readFilterStats(): Promise<NameStats | undefined> {
  try {
    // The dashboard keeps this; the session itself is in a cookie that no script can read.
    if (localStorage.getItem('pulse.signed-in') === null) return undefined
    const answer = await fetch('/api/names/stats')
    if (answer.status === 401) localStorage.removeItem('pulse.signed-in')
    return answer.ok ? ((await answer.json()) as NameStats) : undefined
  } catch {
    return undefined
  }
}
