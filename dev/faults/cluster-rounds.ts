import { setTimeout as pause } from 'node:timers/promises'
import { findPostgres, startPostgres } from '../services/postgres.ts'
import type { PulseProcess } from '../services/pulse.ts'
import { audit, untilQuiet } from './audit.ts'
import type { FaultReport, RoundOptions } from './fault-report.ts'
import { type Installation, openInstallation } from './installation.ts'
import { Ledger, produce } from './ledger.ts'
import { randomOf } from './random.ts'

const servers = 3
const movedMsMax = 60_000

/**
 * kill -9 of one of three servers on one database, again and again under load, each replaced by a new one. Recovery
 * is the time until every partition of the one that was killed has another owner.
 */
export async function clusterRounds(options: RoundOptions): Promise<FaultReport> {
  const bin = await findPostgres()
  if (bin === undefined) throw new Error('there is no PostgreSQL to start')
  await using postgres = await startPostgres(bin)
  const settings = { PARTITIONS: '6' }
  await using installation = await openInstallation({ databaseUrl: postgres.address, settings })
  const random = randomOf(options.seed)
  const ledger = new Ledger()
  const ended = new AbortController()
  const members = new Map<PulseProcess, string>()
  const join = joiner(installation, members)
  for (let n = 0; n < servers; n++) await join()
  const target = {
    url: () => pick(installation.alive(), random).url,
    key: pick([...members.keys()], random).key,
  }
  const producers = Array.from({ length: 4 }, (_, n) =>
    produce(target, ledger, { key: `key-${n}`, batch: 20, random, signal: ended.signal }),
  )
  try {
    const recoveryMs: number[] = []
    for (let round = 0; round < options.rounds; round++) {
      await pause(1_000 + random() * 4_000)
      const victim = pick([...members.keys()], random)
      const member = members.get(victim) ?? ''
      members.delete(victim)
      await victim.kill()
      recoveryMs.push(await untilMoved(installation, member))
      options.tell?.(`round ${round + 1}: moved after ${Math.round(recoveryMs.at(-1) ?? 0)} ms`)
      await join()
    }
    ended.abort()
    await Promise.all(producers)
    const server = pick([...members.keys()], random)
    await untilQuiet(server)
    const findings = await audit(server, ledger)
    return { name: 'cluster-killed', options, ledger, findings, recoveryMs }
  } finally {
    ended.abort()
  }
}

function pick<T>(all: readonly T[], random: () => number): T {
  const one = all[Math.floor(random() * all.length)]
  if (one === undefined) throw new Error('no server is left')
  return one
}

/** Starts servers and learns under which name each works. Members that were killed leave their rows behind. */
function joiner(installation: Installation, members: Map<PulseProcess, string>): () => Promise<void> {
  const known = new Set<string>()
  return async () => {
    const server = await installation.start()
    const rows = await installation.query<{ member: string }>('select member from log_group_members')
    const joined = rows.find(({ member }) => !known.has(member))
    if (joined === undefined) throw new Error('a server is ready and has not joined the group')
    known.add(joined.member)
    members.set(server, joined.member)
  }
}

async function untilMoved(installation: Installation, member: string): Promise<number> {
  const startedMs = performance.now()
  for (;;) {
    const left = await installation.query(
      'select 1 from log_group_partitions where owner is null or owner = $1',
      [member],
    )
    const tookMs = performance.now() - startedMs
    if (left.length === 0) return tookMs
    if (tookMs > movedMsMax)
      throw new Error(`partitions of ${member} are not taken over after ${movedMsMax} ms`)
    await pause(20)
  }
}
