import type { BenchResult, Figure, Wanted } from './bench.ts'
import { busyFrom, type Machine } from './machine.ts'
import { median } from './statistics.ts'

/** A finished bench, as a person or a program reads it. */
export interface Report extends BenchResult {
  readonly bench: string
  readonly at: string
  readonly runs: number
  readonly machine: Machine
}

/** One JSON document. */
export function asJson(report: Report): string {
  const figures = report.figures.map(({ name, unit, series, wanted }) => ({
    name,
    unit,
    median: median(series),
    min: Math.min(...series),
    max: Math.max(...series),
    runs: series,
    ...(wanted ? { wanted, reached: reached(median(series), wanted) } : {}),
  }))
  return JSON.stringify({ ...report, figures }, undefined, 2)
}

/** A table for a terminal. */
export function asTable(report: Report): string {
  const { machine, database } = report
  const header = ['', 'median', 'min', 'max', '', 'wanted']
  const rows = [header, ...report.figures.map(row)]
  const widths = header.map((_, column) => Math.max(...rows.map((cells) => (cells[column] ?? '').length)))
  const lines = rows.map((cells) =>
    cells
      .map((cell, column) =>
        column === 0 || column > 3 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0),
      )
      .join('  ')
      .trimEnd(),
  )
  const settings = Object.entries(database).map(([name, value]) => `${name} ${value}`)
  return [
    `${report.bench}: median of ${report.runs}`,
    '',
    ...lines,
    '',
    ...report.notes.map((note) => `- ${note}`),
    '',
    `${machine.cores} cores of ${machine.cpu}, ${machine.memoryGiB} GiB, ${machine.system}, Node ${machine.node}`,
    ...(settings.length > 0 ? [`PostgreSQL ${settings.join(', ')}`] : []),
    `commit ${machine.commit}, ${report.at}${machine.loadBefore > busyFrom ? `; the machine was busy before (load ${machine.loadBefore})` : ''}`,
  ].join('\n')
}

function row({ name, unit, series, wanted }: Figure): string[] {
  const middle = median(series)
  const verdict = wanted ? `${wantedText(wanted)}${reached(middle, wanted) ? '' : '  missed'}` : ''
  return [name, number(middle), number(Math.min(...series)), number(Math.max(...series)), unit, verdict]
}

function wantedText({ least, most }: Wanted): string {
  if (least !== undefined) return `>= ${number(least)}`
  return most === undefined ? '' : `<= ${number(most)}`
}

function reached(value: number, { least, most }: Wanted): boolean {
  return value >= (least ?? Number.NEGATIVE_INFINITY) && value <= (most ?? Number.POSITIVE_INFINITY)
}

function number(value: number): string {
  if (!Number.isFinite(value)) return '-'
  const digits = Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : 2
  return value.toLocaleString('en-GB', { minimumFractionDigits: digits, maximumFractionDigits: digits })
}
