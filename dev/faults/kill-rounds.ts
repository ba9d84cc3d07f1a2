import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { type PulseProcess, startPulse } from '../services/pulse.ts'
import { audit, type Findings, untilQuiet } from './audit.ts'
import { Ledger, produce } from './ledger.ts'
import { randomOf } from './random.ts'

export interface KillOptions {
  /** What is killed: the server's process, or the database under it. */
  readonly target: 'server' | 'database'
  readonly rounds: number
  readonly seed: number
  readonly producers?: number
  readonly tell?: (line: string) => void
}

export interface KillReport {
  readonly seed: number
  readonly rounds: number
  readonly acked: number
  readonly findings: Findings
  /** Milliseconds from the restart (server) or the kill (database) to ready, per round. */
  readonly readyMs: readonly number[]
}

/**
 * Kills at random moments under load, again and again over one data folder, and audits at the end: everything that
 * was acknowledged is there once, in order, and nothing else.
 */
export async function killRounds(options: KillOptions): Promise<KillReport> {
  const random = randomOf(options.seed)
  const data = await mkdtemp(join(tmpdir(), 'pulse-kill-'))
  const ledger = new Ledger()
  const ended = new AbortController()
  let server = await startPulse(data)
  try {
    const target = { url: () => server.url, key: server.key }
    const producers = Array.from({ length: options.producers ?? 4 }, (_, n) =>
      produce(target, ledger, { key: `key-${n}`, batch: 20, random, signal: ended.signal }),
    )
    const readyMs: number[] = []
    for (let round = 0; round < options.rounds; round++) {
      await pause(300 + random() * 1_500)
      if (options.target === 'server') {
        await server.kill()
        server = await startPulse(data)
        readyMs.push(server.readyMs)
      } else readyMs.push(await killDatabase(server, data))
      options.tell?.(
        `round ${round + 1}: ready after ${Math.round(readyMs.at(-1) ?? 0)} ms, ${ledger.acked.size} acknowledged`,
      )
    }
    await pause(300)
    ended.abort()
    await Promise.all(producers)
    await untilQuiet(server)
    const findings = await audit(server, ledger)
    return { seed: options.seed, rounds: options.rounds, acked: ledger.acked.size, findings, readyMs }
  } catch (cause) {
    throw new Error(
      `after ${ledger.acked.size} acknowledged; the server's last lines:\n${server.log().slice(-4_000)}`,
      { cause },
    )
  } finally {
    ended.abort()
    await server.stop()
    await rm(data, { recursive: true, force: true })
  }
}

/** Ends the postmaster and all its processes at once, as a power failure of the database alone would. */
async function killDatabase(server: PulseProcess, data: string): Promise<number> {
  const file = join(data, 'postgres', 'postmaster.pid')
  const pid = Number((await readFile(file, 'utf8')).split('\n', 1)[0])
  const startedMs = performance.now()
  process.kill(pid, 'SIGKILL')
  // Ready means: a new postmaster, and an event is acknowledged again.
  for (;;) {
    const answer = await fetch(`${server.url}/readyz`)
    const now = Number((await readFile(file, 'utf8').catch(() => '')).split('\n', 1)[0])
    if (answer.status === 200 && now > 0 && now !== pid) return performance.now() - startedMs
    if (performance.now() - startedMs > 60_000)
      throw new Error(`the database is not back:\n${server.log().slice(-4_000)}`)
    await pause(20)
  }
}
