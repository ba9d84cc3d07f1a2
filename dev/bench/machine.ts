import { execFile } from 'node:child_process'
import { arch, availableParallelism, cpus, loadavg, platform, release, totalmem } from 'node:os'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

/** Where figures were measured: without it they mean nothing. */
export interface Machine {
  readonly cores: number
  readonly cpu: string
  readonly memoryGiB: number
  readonly system: string
  readonly node: string
  /** Commit of the repository, with `+` behind it if files differ; `unknown` outside git. */
  readonly commit: string
  /** What the machine was already doing: runnable processes, mean of the last minute. */
  readonly loadBefore: number
}

/** Load from which figures are not to be trusted. */
export const busyFrom = 0.7

const run = promisify(execFile)
const root = fileURLToPath(new URL('../..', import.meta.url))

/** Describes this machine and this clone. */
export async function describeMachine(): Promise<Machine> {
  return {
    cores: availableParallelism(),
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    system: `${platform()} ${release()} ${arch()}`,
    node: process.version,
    commit: await commit(),
    loadBefore: Math.round((loadavg()[0] ?? 0) * 100) / 100,
  }
}

async function commit(): Promise<string> {
  try {
    const { stdout: head } = await run('git', ['rev-parse', '--short=12', 'HEAD'], { cwd: root })
    const { stdout: changes } = await run('git', ['status', '--porcelain'], { cwd: root })
    return `${head.trim()}${changes.trim() === '' ? '' : '+'}`
  } catch {
    return 'unknown'
  }
}
