/** A series in words: where it is now, how low and high it was, and where it is going. */
export function describeSeries(
  name: string,
  values: readonly (number | null)[],
  format: (value: number) => string,
): string {
  const known = values.filter((value) => value !== null)
  const latest = known.at(-1)
  if (latest === undefined) return `${name}: nothing measured.`
  let least = latest
  let most = latest
  for (const value of known) {
    least = Math.min(least, value)
    most = Math.max(most, value)
  }
  return `${name}: now ${format(latest)}, between ${format(least)} and ${format(most)}, ${trendOf(known)}.`
}

const mean = (values: readonly number[]) =>
  values.reduce((sum, value) => sum + value, 0) / Math.max(1, values.length)

/** Compares the last quarter with the first: a tenth of the whole range counts as a change. */
export function trendOf(values: readonly number[]): 'rising' | 'falling' | 'steady' {
  const quarter = Math.floor(values.length / 4)
  if (quarter === 0) return 'steady'
  const before = mean(values.slice(0, quarter))
  const after = mean(values.slice(-quarter))
  const size = Math.max(Math.abs(before), Math.abs(after))
  if (size === 0 || Math.abs(after - before) < size / 10) return 'steady'
  return after > before ? 'rising' : 'falling'
}

/** The rows of a chart's table: every `stepSeconds`, newest first, at most `rowsMax`. Indexes into the columns. */
export function sampleRows(at: readonly number[], rowsMax: number): readonly number[] {
  const step = Math.max(1, Math.ceil(at.length / rowsMax))
  const rows: number[] = []
  for (let index = at.length - 1; index >= 0 && rows.length < rowsMax; index -= step) rows.push(index)
  return rows
}

/** Columns as CSV (RFC 4180): the time in RFC 3339, then one column per series; empty where nothing was measured. */
export function toCsv(
  at: readonly number[],
  series: readonly { name: string; values: readonly (number | null)[] }[],
): string {
  const quote = (text: string) => (/[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text)
  const head = ['time', ...series.map(({ name }) => quote(name))].join(',')
  const rows = at.map((second, index) =>
    [new Date(second * 1000).toISOString(), ...series.map(({ values }) => values[index] ?? '')].join(','),
  )
  return `${[head, ...rows].join('\r\n')}\r\n`
}
