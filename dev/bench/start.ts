import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { startChild, untilReady } from '@pulse/dev/services/child'
import { removeFolder, temporaryFolder } from '@pulse/dev/services/places'
import type { Bench, BenchResult, Settings } from './bench.ts'
import { Figures } from './statistics.ts'

const setUp = fileURLToPath(new URL('../setup/run.mjs', import.meta.url))
const readyMsMax = 60_000
const stopMsMax = 20_000

/** From the command to the first ready answer. */
export const startBench: Bench = {
  name: 'start',
  summary: '`npm start` to `/readyz` 200: with an empty data folder, and again after an orderly end',
  measure,
}

async function measure(settings: Settings): Promise<BenchResult> {
  const found = new Figures()
  for (let run = 1; run <= settings.runs && !settings.signal.aborted; run++) {
    settings.say(`run ${run} of ${settings.runs}`)
    const dataFolder = await temporaryFolder('bench')
    try {
      found.add('empty', await readyMs(dataFolder))
      found.add('warm', await readyMs(dataFolder))
    } finally {
      await removeFolder(dataFolder)
    }
  }
  return {
    figures: [
      { name: 'empty data folder', unit: 'ms', series: found.of('empty') },
      { name: 'warm start', unit: 'ms', series: found.of('warm'), wanted: { most: 2_000 } },
    ],
    database: {},
    notes: [
      'From starting what `npm start` runs, with everything installed and built, to the first 200 of /readyz, which is asked every 25 ms.',
      'The empty folder gets its database first (initdb, migrations, keys).',
    ],
  }
}

async function readyMs(dataFolder: string): Promise<number> {
  const startedMs = performance.now()
  const child = await startChild({
    program: process.execPath,
    args: [setUp, 'start', '--port', '0', '--data', dataFolder],
    // Its own folder, so that no `.env` or config file of the person who runs the bench has a say.
    cwd: dataFolder,
    env: { HOST: '127.0.0.1', LOG_LEVEL: 'error' },
  })
  try {
    await untilReady(child, { what: 'Pulse', withinMs: readyMsMax, ready: () => isReady(dataFolder) })
    return performance.now() - startedMs
  } finally {
    await child.stop('SIGTERM', stopMsMax)
  }
}

async function isReady(dataFolder: string): Promise<boolean> {
  try {
    const { url } = JSON.parse(await readFile(join(dataFolder, 'server.json'), 'utf8')) as { url?: string }
    return url !== undefined && (await fetch(`${url}/readyz`)).status === 200
  } catch {
    return false
  }
}
