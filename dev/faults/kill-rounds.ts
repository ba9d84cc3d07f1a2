import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { databasePidOf, type PulseProcess, startPulse } from '../services/pulse.ts'
import { audit, untilQuiet } from './audit.ts'
import type { FaultReport, RoundOptions } from './fault-report.ts'
import { Ledger, produce } from './ledger.ts'
import { signalTree } from './process-tree.ts'
import { randomOf } from './random.ts'

/** What is done to a server with its own database, again and again. */
export type Fault =
  | 'server-killed'
  | 'database-killed'
  | 'both-killed'
  | 'server-stopped'
  | 'database-stopped'

interface World {
  readonly data: string
  server: PulseProcess
  readonly ledger: Ledger
  readonly random: () => number
}

const readyMsMax = 60_000

/** Each does its harm and resolves, when the server is ready again, with the milliseconds that this took. */
const harm: Readonly<Record<Fault, (world: World) => Promise<number>>> = {
  /** kill -9 and another process over the same folder. */
  'server-killed': async (world) => {
    await world.server.kill()
    world.server = await startPulse(world.data)
    return world.server.readyMs
  },
  /** kill -9 of PostgreSQL's first process; the others end by it. The server brings back what it owns. */
  'database-killed': async (world) => {
    const killed = await runningDatabase(world.data)
    process.kill(killed, 'SIGKILL')
    return untilReady(world, async () => {
      const now = await databasePidOf(world.data)
      return now !== undefined && now !== killed
    })
  },
  /** All processes at once, as when a machine is lost and its disk is not. */
  'both-killed': async (world) => {
    const database = await runningDatabase(world.data)
    await Promise.all([world.server.kill(), signalTree(database, 'SIGKILL')])
    world.server = await startPulse(world.data)
    return world.server.readyMs
  },
  'server-stopped': async (world) => {
    world.server.process.kill('SIGSTOP')
    await pause(500 + world.random() * 2_500)
    world.server.process.kill('SIGCONT')
    return untilReady(world)
  },
  'database-stopped': async (world) => {
    const pid = await runningDatabase(world.data)
    await signalTree(pid, 'SIGSTOP')
    await pause(500 + world.random() * 2_500)
    await signalTree(pid, 'SIGCONT')
    return untilReady(world)
  },
}

/**
 * Does harm at random moments under load, over one data folder, and audits at the end: everything that was
 * acknowledged is there once, in order, and nothing else. Rejects with the server's last lines if it does not recover.
 */
export async function killRounds(fault: Fault, options: RoundOptions): Promise<FaultReport> {
  const random = randomOf(options.seed)
  const data = await mkdtemp(join(tmpdir(), 'pulse-kill-'))
  const ledger = new Ledger()
  const ended = new AbortController()
  const world: World = { data, random, ledger, server: await startPulse(data) }
  try {
    const target = { url: () => world.server.url, key: world.server.key }
    const producers = Array.from({ length: 4 }, (_, n) =>
      produce(target, ledger, { key: `key-${n}`, batch: 20, random, signal: ended.signal }),
    )
    const recoveryMs: number[] = []
    for (let round = 0; round < options.rounds; round++) {
      await pause(300 + random() * 1_500)
      recoveryMs.push(await harm[fault](world))
      options.tell?.(
        `round ${round + 1}: ready after ${Math.round(recoveryMs.at(-1) ?? 0)} ms, ${ledger.acked.size} acknowledged`,
      )
    }
    await pause(300)
    ended.abort()
    await Promise.all(producers)
    await untilQuiet(world.server)
    return { name: fault, options, ledger, findings: await audit(world.server, ledger), recoveryMs }
  } catch (cause) {
    const said = world.server.log().slice(-4_000)
    throw new Error(`${fault}, seed ${options.seed}: the server's last lines:\n${said}`, { cause })
  } finally {
    ended.abort()
    await world.server.stop()
    await rm(data, { recursive: true, force: true, maxRetries: 5 })
  }
}

async function runningDatabase(data: string): Promise<number> {
  const pid = await databasePidOf(data)
  if (pid === undefined) throw new Error('no database runs here')
  return pid
}

/** Ready means more than that it says so: something is acknowledged again. */
async function untilReady({ server, ledger }: World, also = async () => true): Promise<number> {
  const startedMs = performance.now()
  let acked = ledger.acked.size
  for (;;) {
    if (await also()) {
      const answer = await fetch(`${server.url}/readyz`)
      if (answer.status === 200 && ledger.acked.size > acked) return performance.now() - startedMs
    } else acked = ledger.acked.size
    if (performance.now() - startedMs > readyMsMax) throw new Error(`not ready after ${readyMsMax} ms`)
    await pause(20)
  }
}
