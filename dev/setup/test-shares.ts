/** One finished test file. */
export interface FileResult {
  /** Path relative to the clone. */
  readonly file: string
  readonly ms: number
  readonly tests: number
}

/** Which part of the product a path belongs to; the first share with a fitting path wins. */
export interface Share {
  readonly name: string
  /** Beginnings of paths relative to the clone. */
  readonly paths: readonly string[]
}

/**
 * The parts whose tests share the time budget, in the order in which they were added. A part that comes later
 * stands above those it grew out of, because the first fitting path wins.
 */
export const shares: readonly Share[] = [
  {
    name: 'Names',
    paths: [
      'server/src/names/',
      'server/src/operations/measurement-stream',
      'server/test/names',
      'server/test/measurements',
      'cli/test/names',
      'cli/src/import/name-file',
      'client/src/names',
      'web/src/names-page/',
      'web/src/sse-page/',
    ],
  },
  {
    name: 'Live delivery',
    paths: [
      'server/src/subscriptions/',
      'server/src/delivery/',
      'server/src/webhooks/',
      'server/src/http/upgrade',
      'server/src/accounts/streams',
      'server/test/stream',
      'server/test/event-streams',
      'server/test/frames',
      'server/test/filters',
      'server/test/webhook',
      'server/test/dashboard-live',
      'cli/test/live',
      'cli/test/webhooks',
      'client/test/',
      'client/src/subscription',
      'client/src/publisher',
      'client/src/link',
      'dev/stories/flights',
      'dev/faults/stream-rounds',
      'web/src/live/',
      'web/src/filter-lab/',
    ],
  },
  {
    name: 'Foundation',
    paths: ['protocol/', 'log/', 'server/', 'client/', 'cli/', 'web/', 'examples/', 'dev/', 'docs/'],
  },
]

/** Files that the list of slowest names. */
const slowestMax = 8

/**
 * The lines that tell where the time of a run went: the slowest files and each part's share. The time of a file
 * is its own; files run side by side, so the sum is more than the run took.
 */
export function describeTimes(results: readonly FileResult[], parts: readonly Share[]): readonly string[] {
  const slowest = results.toSorted((a, b) => b.ms - a.ms).slice(0, slowestMax)
  return [
    'Slowest files:',
    ...slowest.map((result) => `  ${seconds(result.ms)}  ${result.file}`),
    'Time by part (files run side by side, so the sum exceeds the run):',
    ...totals(results, parts).map(
      (total) => `  ${seconds(total.ms)}  ${total.name}: ${total.tests} tests in ${total.files} files`,
    ),
  ]
}

interface Total {
  readonly name: string
  readonly ms: number
  readonly tests: number
  readonly files: number
}

function totals(results: readonly FileResult[], parts: readonly Share[]): readonly Total[] {
  const byName = new Map<string, Total>()
  for (const result of results) {
    const name =
      parts.find((part) => part.paths.some((path) => result.file.startsWith(path)))?.name ?? 'Other'
    const total = byName.get(name) ?? { name, ms: 0, tests: 0, files: 0 }
    byName.set(name, {
      name,
      ms: total.ms + result.ms,
      tests: total.tests + result.tests,
      files: total.files + 1,
    })
  }
  return [...byName.values()].sort((a, b) => b.ms - a.ms)
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`.padStart(8)
}
