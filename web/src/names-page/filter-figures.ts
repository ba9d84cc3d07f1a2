/** What a signed-in operator sees of the filter, from `/api/names/stats`. */
export interface FilterStats {
  readonly names_estimated: number
  /** 0 to 1. */
  readonly fill: number
  readonly bytes: number
  readonly false_positive_rate: { readonly expected: number; readonly measured: number | null }
  readonly generation: number
  readonly certain: boolean
}

/** The filter's figures as pairs of a word and a value. */
export function figuresOf(stats: FilterStats): readonly (readonly [word: string, value: string])[] {
  const { expected, measured } = stats.false_positive_rate
  return [
    ['Names', stats.names_estimated.toLocaleString('en', { maximumFractionDigits: 0 })],
    ['Filled', percent(stats.fill)],
    ['Memory', `${(stats.bytes / 1e6).toLocaleString('en', { maximumFractionDigits: 1 })} MB`],
    ['False positives', measured === null ? `${percent(expected)} expected` : percent(measured)],
    ['Generation', String(stats.generation)],
    ['Answers', stats.certain ? 'from memory' : 'by look-up'],
  ]
}

const percent = (ratio: number) => `${(ratio * 100).toLocaleString('en', { maximumSignificantDigits: 2 })} %`

/** The figures, or undefined for whoever may not see them. */
export async function readFilterStats(): Promise<FilterStats | undefined> {
  try {
    const answer = await fetch('/api/names/stats')
    return answer.ok ? ((await answer.json()) as FilterStats) : undefined
  } catch {
    return undefined
  }
}
