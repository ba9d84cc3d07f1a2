import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import type { Event } from '@pulse/protocol/event'
import { matches } from '@pulse/server/subscriptions/matches'
import { createMatchingIndex, type MatchingIndex } from '@pulse/server/subscriptions/matching-index'
import type { Tree } from '@pulse/server/subscriptions/tree'
import type { Bench, BenchResult, Settings } from './bench.ts'
import { type Workload, workload } from './match-workload.ts'
import { Figures, median, percentile } from './statistics.ts'
import { Stopwatch } from './stopwatch.ts'

const large = 1_000_000
const small = 100_000
/** Half of a range, as a part of its middle. Ten times as wide among a tenth of the filters: the same matches. */
const width = 0.01
const matchesMax = 50
const eventCount = 20_000
const changeCount = 20_000
const judgedEvents = 5
/** Filters are made so many at a time, outside of what is measured: few, so that collecting them is no part of it either. */
const made = 250

/** One event against a million filters. */
export const matchBench: Bench = {
  name: 'match',
  summary: 'the matching index: one million filters, changes among them, and the linear scan beside it',
  measure,
}

async function measure(settings: Settings): Promise<BenchResult> {
  const found = new Figures()
  for (let run = 1; run <= settings.runs && !settings.signal.aborted; run++) {
    settings.say(`run ${run} of ${settings.runs}`)
    const its = new Figures()
    const few = oneSize({ found: its, count: small, width: width * (large / small), settings })
    // The first calls of the process are among these: what is compiled on the way is a pause as well.
    for (const name of ['pause', 'pause wall']) for (const value of its.of(name)) found.add(name, value)
    const many = oneSize({ found, count: large, width, settings })
    found.add('growth', growthOf(few, many))
    compareWithScan(many, found)
    emptyAgain(many, found)
  }
  return { figures: figuresOf(found), database: {}, notes }
}

interface Measured {
  readonly index: MatchingIndex
  readonly work: Workload
  readonly count: number
  /** What stands under a handle now. */
  readonly filter: (handle: number) => Tree
}

function oneSize(of: { found: Figures; count: number; width: number; settings: Settings }): Measured {
  const { found, count } = of
  const work = workload(of)
  const index = createMatchingIndex()
  const before = memoryInUse()
  build(index, { work, count, found })
  found.add('bytes', (memoryInUse() - before) / index.sizes.classes)
  // Kept by nobody: the longer a collection of garbage is, the more of what it goes through is the bench's own.
  for (const event of eventsOf(work, 1)) index.match(event)
  measureMatch(index, eventsOf(work, 0), found)
  measureRate(index, { work, seconds: of.settings.seconds ?? 3, found })
  const changed = new Map<number, number>()
  const measured = { index, work, count }
  const filter = (handle: number) => work.filter(changed.get(handle) ?? handle)
  if (count === large) measureChanges({ ...measured, filter }, { changed, found })
  return { ...measured, filter }
}

/** In each turn other ones: of an event that was matched before, what the index reads is in the caches. */
const eventsOf = (work: Workload, turn: number): readonly Event[] =>
  Array.from({ length: eventCount }, (_, n) => JSON.parse(work.event(turn * eventCount + n)) as Event)

function build(index: MatchingIndex, of: { work: Workload; count: number; found: Figures }): void {
  const watch = new Stopwatch({ keep: false })
  let cpuUs = 0
  for (let from = 0; from < of.count; from += made) {
    const trees = Array.from({ length: Math.min(made, of.count - from) }, (_, n) => of.work.filter(from + n))
    const cpuBefore = process.threadCpuUsage()
    for (const [n, tree] of trees.entries()) watch.time(() => index.add(from + n, tree))
    const { user, system } = process.threadCpuUsage(cpuBefore)
    cpuUs += user + system
  }
  of.found.add('build', watch.totalMs / 1_000)
  of.found.add('build cpu', cpuUs / 1e6)
  notePause(of.found, watch)
}

function measureMatch(index: MatchingIndex, events: readonly Event[], found: Figures): void {
  const watch = new Stopwatch({ keep: true })
  const counts = events.map((event) => watch.time(() => index.match(event)))
  const matchUs = watch.wallUs.filter((_, n) => (counts[n] ?? 0) <= matchesMax)
  found.add('matches', counts.reduce((sum, each) => sum + each, 0) / counts.length)
  found.add('match p50', percentile(matchUs, 50))
  found.add('match p99', percentile(matchUs, 99))
  found.add('match all p99', percentile(watch.wallUs, 99))
  notePause(found, watch)
}

/** In turns, so that what else the machine does meets both alike; each turn has events of its own. */
function growthOf(few: Measured, many: Measured): number {
  const typicalUs = ({ index, work }: Measured, turn: number) => {
    const events = eventsOf(work, turn)
    const watch = new Stopwatch({ keep: true })
    for (const event of events) watch.time(() => index.match(event))
    return median(watch.wallUs)
  }
  return median(
    [2, 3, 4, 5, 6].map((turn) => {
      const before = typicalUs(few, turn)
      return typicalUs(many, turn) / before
    }),
  )
}

function measureRate(
  index: MatchingIndex,
  { work, seconds, found }: { work: Workload; seconds: number; found: Figures },
): void {
  const texts = Array.from({ length: eventCount }, (_, n) => work.event(n))
  const cpuBefore = process.threadCpuUsage()
  const untilMs = performance.now() + seconds * 1_000
  let done = 0
  do
    for (let n = 0; n < 500; n++, done++)
      index.match(JSON.parse(texts[done % texts.length] as string) as Event)
  while (performance.now() < untilMs)
  const { user, system } = process.threadCpuUsage(cpuBefore)
  found.add('rate', (done * 1e6) / (user + system))
}

/** Filters go and others come in their place. Not the same ones: what they would need was in hand a moment ago. */
function measureChanges(
  { index, count, filter }: Measured,
  { changed, found }: { changed: Map<number, number>; found: Figures },
): void {
  const adding = new Stopwatch({ keep: true })
  const removing = new Stopwatch({ keep: true })
  for (let n = 0; n < changeCount; n++) {
    // A prime, so that all parts of the index are met.
    const handle = (n * 7_919) % count
    const before = filter(handle)
    changed.set(handle, count + n)
    const after = filter(handle)
    removing.time(() => index.remove(handle, before))
    adding.time(() => index.add(handle, after))
  }
  found.add('add p99', percentile(adding.wallUs, 99))
  found.add('remove p99', percentile(removing.wallUs, 99))
  notePause(found, adding)
  notePause(found, removing)
}

/** The judge over all filters, one after another, on some of the same events; what they find must be the same. */
function compareWithScan({ index, work, count, filter }: Measured, found: Figures): void {
  const events = eventsOf(work, 0)
  const some = events.filter((_, n) => n % Math.floor(events.length / judgedEvents) === 0)
  const judged = new Int32Array(some.length)
  let scanMs = 0
  for (let from = 0; from < count; from += made) {
    const trees: Tree[] = Array.from({ length: Math.min(made, count - from) }, (_, n) => filter(from + n))
    const startedMs = performance.now()
    for (const [n, event] of some.entries())
      for (const tree of trees) if (matches(tree, event)) judged[n] = (judged[n] ?? 0) + 1
    scanMs += performance.now() - startedMs
  }
  const startedMs = performance.now()
  for (const event of events) index.match(event)
  const indexMs = (performance.now() - startedMs) / events.length
  for (const [n, event] of some.entries())
    if (index.match(event) !== judged[n]) throw new Error('the index and the linear scan disagree')
  found.add('scan', scanMs / some.length)
  found.add('ratio', scanMs / some.length / indexMs)
}

function emptyAgain({ index, count, filter }: Measured, found: Figures): void {
  const watch = new Stopwatch({ keep: false })
  for (let handle = 0; handle < count; handle++) {
    const tree = filter(handle)
    watch.time(() => index.remove(handle, tree))
  }
  notePause(found, watch)
  found.add('left', index.sizes.bytes / 2 ** 20)
}

function notePause(found: Figures, watch: Stopwatch): void {
  found.add('pause', watch.longestOwnMs)
  found.add('pause wall', watch.longestMs)
}

// As with `node --expose-gc`: what waits to be collected is no memory of the index.
setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc') as () => void

/** Heap and typed arrays, in bytes. */
function memoryInUse(): number {
  collect()
  collect()
  const { heapUsed, arrayBuffers } = process.memoryUsage()
  return heapUsed + arrayBuffers
}

/** Here the longest counts, not the one in the middle. */
const worst = <F extends { series: readonly number[] }>(figure: F): F => ({
  ...figure,
  series: [Math.max(...figure.series)],
})

function figuresOf(found: Figures): BenchResult['figures'] {
  const figure = (name: string, series: string, unit: string) => ({ name, unit, series: found.of(series) })
  const most = (name: string, series: string, of: { unit: string; most: number }) => ({
    ...figure(name, series, of.unit),
    wanted: { most: of.most },
  })
  return [
    most(`match, at most ${matchesMax} matches, p50`, 'match p50', { unit: 'µs', most: 10 }),
    most(`match, at most ${matchesMax} matches, p99`, 'match p99', { unit: 'µs', most: 50 }),
    figure('match, any number of matches, p99', 'match all p99', 'µs'),
    figure('matches per event', 'matches', ''),
    most('1 M against 100 k filters, same matches, p50', 'growth', { unit: 'times', most: 2 }),
    { ...figure('parse and match', 'rate', 'events/CPU s'), wanted: { least: 100_000 } },
    most('memory per distinct filter', 'bytes', { unit: 'bytes', most: 120 }),
    figure('memory once all are removed', 'left', 'MiB'),
    most('build', 'build', { unit: 's', most: 5 }),
    figure('build with its clocks, CPU', 'build cpu', 's'),
    most('add, p99', 'add p99', { unit: 'µs', most: 50 }),
    most('remove, p99', 'remove p99', { unit: 'µs', most: 50 }),
    worst(most('longest call of all', 'pause', { unit: 'ms', most: 10 })),
    worst(figure('longest call of all, with the turns of others', 'pause wall', 'ms')),
    figure('linear scan, per event', 'scan', 'ms'),
    { ...figure('linear scan / index', 'ratio', 'times'), wanted: { least: 1_000 } },
  ]
}

const notes = [
  'One million filters of six shapes: types x tiers x range 35 %, type x region x range 20 %, account x type 20 %, type x path prefix 10 %, region x tiers x range 10 %, threshold 5 %; 200 types and 500 sections by Zipf, 30 regions, 4 tiers, 200,000 accounts, 200,000 prefixes; 98 % are distinct.',
  `Match, add and remove are single calls by the wall clock over ${eventCount.toLocaleString('en-GB')} parsed events, none of which was matched before, and ${changeCount.toLocaleString('en-GB')} filters that go, each for another one that comes; build is the sum of all calls of add, one by one.`,
  'Parse and match: JSON text of about 290 bytes to handles, in CPU time of the one thread. Longest calls are those of all runs and both sizes, of add, match and remove, with the collections of garbage in them; the first figure is the lesser of wall and CPU time (kept to 4 ms), so without the turns of other processes, and without waiting for the collector’s helper threads. On a quiet machine the second one is what counts.',
  'Against 100 k: the same with a tenth of the filters and ranges ten times as wide, so that an event matches as many.',
  'Memory: growth of heap and typed arrays after a collection, of the index alone; what a session keeps of its filters counts in `connections`. The linear scan is the judge `matches` over the same filters and events; both must find the same.',
]
