import type { Bench, BenchResult, Figure, Settings } from '../bench.ts'
import { Figures } from '../statistics.ts'
import { measureInMemory, measureLarge } from './in-memory.ts'
import { openNamePeers } from './name-peers.ts'
import { measureServer } from './name-server.ts'
import { type RealNames, readRealNames } from './real-names.ts'

/** Which names are free, with all names of npm. */
export const namesBench: Bench = {
  name: 'names',
  summary: 'checks of names in memory and over HTTP, import of 4.5 M, beside bloom-filters and Redis',
  measure,
}

async function measure(settings: Settings): Promise<BenchResult> {
  const found = new Figures()
  const names = await readRealNames(settings.names)
  await measureMemory(names, { settings, found })
  let database: BenchResult['database'] = {}
  for (let run = 1; run <= settings.runs && !settings.signal.aborted; run++) {
    settings.say(`server: run ${run} of ${settings.runs}`)
    database = await measureServer(names, { settings, found, verify: run === 1 })
  }
  return { figures: figuresOf(found), database, notes: notesOf(names) }
}

/** Before any server is there: it would share the cores. */
async function measureMemory(
  names: RealNames,
  { settings, found }: { settings: Settings; found: Figures },
): Promise<void> {
  const part = settings.names === undefined ? 1 : Math.min(1, names.taken.length / 4_500_000)
  settings.say('filling the filters of others')
  const rate = measureInMemory(names, new Figures()).expectedRate()
  await using peers = await openNamePeers(names, rate)
  found.add('redis rate', await peers.redisRate())
  for (let run = 1; run <= settings.runs && !settings.signal.aborted; run++) {
    settings.say(`memory: run ${run} of ${settings.runs}`)
    measureInMemory(names, found)
    measureLarge(names, { part, found })
    found.add('library', peers.library())
    found.add('redis', await peers.redis())
    found.add('redis at once', await peers.redisAtOnce())
    // Of the same run: what disturbed the machine in that minute disturbed all of them.
    const ours = found.of('free').at(-1) ?? Number.NaN
    for (const peer of ['library', 'redis', 'redis at once'])
      found.add(`${peer} ratio`, (found.of(peer).at(-1) ?? Number.NaN) / ours)
  }
}

function figuresOf(found: Figures): Figure[] {
  const figure = (name: string, series: string, unit: string): Figure => ({
    ...{ name, unit, series: found.of(series) },
  })
  const most = (name: string, series: string, of: { unit: string; most: number }): Figure => ({
    ...figure(name, series, of.unit),
    wanted: { most: of.most },
  })
  const least = (name: string, series: string, of: { unit: string; least: number }): Figure => ({
    ...figure(name, series, of.unit),
    wanted: { least: of.least },
  })
  return [
    most('check of a free name, in process', 'free', { unit: 'µs', most: 0.6 }),
    figure('check of a taken name, in process', 'taken', 'µs'),
    most('check of a free name, filter of 1.5 GB', 'large', { unit: 'µs', most: 1.5 }),
    figure('add, in process', 'add', 'µs'),
    most('memory', 'bits', { unit: 'bits/name', most: 17.6 }),
    figure('false positives', 'rate', '%'),
    most('false positives, measured / by arithmetic', 'rate ratio', { unit: 'times', most: 1.2 }),
    most('the same, free names of 3 to 8 characters', 'short rate ratio', { unit: 'times', most: 1.2 }),
    figure('bloom-filters, check', 'library', 'µs'),
    least('bloom-filters / Pulse', 'library ratio', { unit: 'times', least: 10 }),
    figure('seven GETBITs, check', 'redis', 'µs'),
    least('seven GETBITs / Pulse', 'redis ratio', { unit: 'times', least: 100 }),
    figure('seven GETBITs, 64 checks at once, check', 'redis at once', 'µs'),
    figure('seven GETBITs, 64 checks at once / Pulse', 'redis at once ratio', 'times'),
    most('false positives of the Redis form', 'redis rate', { unit: '%', most: 1.1 }),
    most('import', 'import', { unit: 's', most: 90 }),
    figure('restart to ready', 'ready', 's'),
    most('restart to free names from memory', 'certain', { unit: 's', most: 3 }),
    figure('server with all names (RSS)', 'server', 'MiB'),
    most('names of the import that are called free', 'false negatives', { unit: '', most: 0 }),
    least('HTTP, free name', 'free rate', { unit: 'req/s', least: 20_000 }),
    most('HTTP, free name, p99', 'free p99', { unit: 'ms', most: 10 }),
    least('HTTP, taken name', 'taken rate', { unit: 'req/s', least: 8_000 }),
    figure('HTTP, taken name, p99', 'taken p99', 'ms'),
    most('HTTP, failed or wrong answers', 'wrong', { unit: '', most: 0 }),
  ]
}

const notesOf = ({ taken, free, short }: RealNames) => [
  `${taken.length.toLocaleString('en-GB')} names of npm’s packages (all-the-package-names), ${free.length.toLocaleString('en-GB')} that are none of them (real ones with a number behind), and ${short.length.toLocaleString('en-GB')} short ones that nobody has. NAMES_PROFILE=exact, rules that allow everything.`,
  'In process: hash of the string and look into the filter, all names one after another; every name that was added must be found. 1.5 GB: bits at random, 37 % set, as seven tenths of a billion names would set them.',
  'False positives by arithmetic: a Poisson number of names on each line of 512 bits (Putze, Sanders and Singler 2007).',
  `bloom-filters and Redis hold up to 1 M of the same names. bloom-filters is made for the false positives that ours has; Redis has ten bits for each name and seven positions by salted SHA-256, which are computed before and not timed. GETBITs of a check are sent in one packet over loopback by node-redis; “at once”: 64 checks on the way, the time of all by their number. Ours is the check among all ${taken.length.toLocaleString('en-GB')}.`,
  'Import: `pulse names import FILE --json` from its start to its end, into an empty embedded database. Restart: from starting the server, with its database, until /readyz answers 200, and until free names are answered from memory.',
  'After the first restart every name is asked for by POST /api/names/check, a thousand at a time.',
  'HTTP: GET /api/check-username of 10,000 different names over 64 connections without a credential, each with its next request when the last is answered; the generator runs on the same cores.',
]
