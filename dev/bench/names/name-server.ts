import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { createClient } from '@pulse/client'
import { runToEnd } from '@pulse/dev/services/child'
import { removeFolder, temporaryFolder } from '@pulse/dev/services/places'
import type { BenchResult, Settings } from '../bench.ts'
import { memoryOf } from '../memory-use.ts'
import { connectTo, describeDatabase, type Pulse, startPulse } from '../pulse.ts'
import type { Figures } from '../statistics.ts'
import { capacityFor } from './in-memory.ts'
import type { RealNames } from './real-names.ts'

const pulseCommand = fileURLToPath(new URL('main.ts', import.meta.resolve('@pulse/cli')))
const certainMsMax = 120_000
const asked = 10_000
const checkedPerRequest = 1_000
const checksAtOnce = 3

/** One server: an import into its empty database, a restart, and checks over HTTP. `verify`: asks for every name as well. */
export async function measureServer(
  names: RealNames,
  of: { settings: Settings; found: Figures; verify: boolean },
): Promise<BenchResult['database']> {
  // Two, for the database takes over a folder only while it is empty.
  await using opened = new AsyncDisposableStack()
  const folder = async (name: string) => {
    const made = await temporaryFolder(name)
    opened.defer(() => removeFolder(made))
    return made
  }
  return await importAndAsk(names, { ...of, data: await folder('bench'), files: await folder('bench-files') })
}

interface Place {
  readonly settings: Settings
  readonly found: Figures
  readonly verify: boolean
  /** Data of the server. */
  readonly data: string
  /** Where its rules are, and the names to import if they are not all. */
  readonly files: string
}

async function importAndAsk(names: RealNames, place: Place): Promise<BenchResult['database']> {
  const { settings, found, data, files } = place
  const rules = join(files, 'rules.json')
  await writeFile(rules, '{"replace": ["reserved", "offensive"]}')
  const start = () =>
    startPulse({
      roles: settings.roles ?? 'all',
      dataFolder: data,
      profile: settings.profile,
      settings: {
        ...{ NAMES_PROFILE: 'exact', NAMES_RULES: rules, REDIS_URL: '' },
        NAMES_EXPECTED: String(Math.max(1_000, capacityFor(names.taken.length))),
        // Every request comes from one address, and has no credential.
        ...{ RATE_LIMIT_ADDRESS: '', RATE_LIMIT_KEY: '', NAMES_RATE_ADDRESS: '', NAMES_RATE_NETWORK: '' },
        USERS_DATA_PATH: join(files, 'none.json'),
      },
    })
  {
    await using pulse = await start()
    await certain(pulse)
    settings.say(`import of ${names.taken.length.toLocaleString('en-GB')} names`)
    found.add('import', await importSeconds(pulse, names, files))
  }
  const startedMs = performance.now()
  await using pulse = await start()
  found.add('ready', (performance.now() - startedMs) / 1_000)
  await certain(pulse)
  found.add('certain', (performance.now() - startedMs) / 1_000)
  found.add('server', (await memoryOf([pulse.pid])).rssBytes / 2 ** 20)
  if (place.verify) {
    settings.say('every name is asked for')
    found.add('false negatives', await calledFree(pulse, names.taken))
  }
  settings.say('checks over HTTP')
  await ask(pulse, 'free', { names: names.free, place })
  await ask(pulse, 'taken', { names: names.taken, place })
  return await databaseOf(pulse)
}

const clientOf = ({ url, key }: Pulse) => createClient({ url, credential: key })

/** Waits until free names are answered from memory. */
async function certain(pulse: Pulse): Promise<void> {
  const { names } = clientOf(pulse)
  const deadline = performance.now() + certainMsMax
  while (!(await names.stats()).certain) {
    if (performance.now() > deadline) throw new Error('the filter is not certain')
    await delay(10)
  }
}

/** From the command to its end: `pulse names import FILE`. */
async function importSeconds(pulse: Pulse, names: RealNames, files: string): Promise<number> {
  const file = names.file ?? join(files, 'names.json')
  if (names.file === undefined) await writeFile(file, JSON.stringify(names.taken))
  const startedMs = performance.now()
  const args = [pulseCommand, 'names', 'import', file, '--json', '--url', pulse.url]
  const said = await runToEnd({ program: process.execPath, args, cwd: files, env: { PULSE_KEY: pulse.key } })
  const seconds = (performance.now() - startedMs) / 1_000
  const { added } = (JSON.parse(said) as { data: { added: number } }).data
  if (added !== names.taken.length) throw new Error(`not every name was added: ${said}`)
  return seconds
}

/** How many of them are called free. */
async function calledFree(pulse: Pulse, names: readonly string[]): Promise<number> {
  const client = clientOf(pulse)
  let from = 0
  let free = 0
  const lane = async () => {
    while (from < names.length) {
      const some = names.slice(from, from + checkedPerRequest)
      from += some.length
      for (const { available } of await client.names.checkMany(some)) if (available) free++
    }
  }
  await Promise.all(Array.from({ length: checksAtOnce }, lane))
  return free
}

async function ask(
  pulse: Pulse,
  kind: 'free' | 'taken',
  { names, place: { settings, found } }: { names: readonly string[]; place: Place },
): Promise<void> {
  const step = Math.max(1, Math.floor(names.length / asked))
  const paths = names
    .filter((_, n) => n % step === 0)
    .map((name) => `/api/check-username?username=${encodeURIComponent(name)}`)
  const result = await settings.load.run({
    // As a page asks: without a credential.
    targets: [{ url: pulse.url, key: '' }],
    asking: { paths, answer: `{"available":${kind === 'free'}` },
    ...{ connections: 64, pace: { kind: 'closed' }, batch: 0, repeats: 0, windowEvents: 0 },
    ...{ warmUpMs: 2_000, measuredMs: (settings.seconds ?? 5) * 1_000 },
  })
  found.add(`${kind} rate`, result.accepted / result.seconds)
  found.add(`${kind} p99`, result.succeeded?.p99 ?? Number.NaN)
  found.add('wrong', result.failed)
}

async function databaseOf(pulse: Pulse): Promise<BenchResult['database']> {
  const client = await connectTo(pulse.databaseUrl)
  try {
    return await describeDatabase(client)
  } finally {
    await client.end()
  }
}
