import { setTimeout as delay } from 'node:timers/promises'
import type { Bench, BenchResult, Settings } from '../bench.ts'
import { memoryOf } from '../memory-use.ts'
import { connectTo, describeDatabase, startPulse } from '../pulse.ts'
import { Figures } from '../statistics.ts'
import { openReaders } from './readers.ts'

const connectionsMax = 10_000

/** What an idle socket holds of the server's memory. */
export const connections: Bench = {
  name: 'connections',
  summary: '10,000 idle sockets, each with a filter of its own: memory of the server for each',
  measure,
}

async function measure(settings: Settings): Promise<BenchResult> {
  const found = new Figures()
  let database = {}
  for (let run = 1; run <= settings.runs && !settings.signal.aborted; run++) {
    settings.say(`run ${run} of ${settings.runs}`)
    await using pulse = await startPulse({
      roles: settings.roles ?? 'intake,delivery',
      profile: settings.profile,
    })
    const client = await connectTo(pulse.databaseUrl)
    database = await describeDatabase(client)
    await client.end()
    await using readers = await openReaders()
    const filter = 'properties.account = "account_{n}" and properties.amount > {n}'
    const open = { kind: 'open', url: pulse.url, key: pulse.key, filter } as const
    // A few sockets that come and go make the young generation as large as traffic makes it. They are few at a time, so
    // that they leave no room behind into which those that are measured would move for nothing.
    for (let wave = 0; wave < 50; wave++) {
      await readers.run({ ...open, count: 100 })
      await readers.run({ kind: 'close' })
    }
    await readers.run({ ...open, count: 1_000 })
    await delay(10_000)
    const before = await memoryOf([pulse.pid])
    const { ms } = await readers.run({ ...open, count: connectionsMax - 1_000 })
    await delay(10_000)
    const after = await memoryOf([pulse.pid])
    const each = (after.rssBytes - before.rssBytes) / (connectionsMax - 1_000)
    found.add('each', each / 1_024)
    found.add('all', after.rssBytes / 2 ** 20)
    found.add('rate', ((connectionsMax - 1_000) / ms) * 1_000)
  }
  const figures = [
    { name: 'memory of an idle connection', unit: 'KiB', series: found.of('each'), wanted: { most: 15 } },
    { name: 'server with 10,000 connections (RSS)', unit: 'MiB', series: found.of('all') },
    { name: 'opened, greeted and subscribed', unit: 'connections/s', series: found.of('rate') },
  ]
  return { figures, database, notes }
}

const notes = [
  'After 5,000 sockets have come and gone, a hundred at a time: the growth of the server’s resident memory from 1,000 to 10,000 sockets of pulse.v1, each with a subscriber and a filter of its own in the matching index; ten seconds after the last has subscribed. What the kernel keeps for a socket is not in it.',
]
