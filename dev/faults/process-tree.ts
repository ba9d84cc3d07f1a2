import { execFile } from 'node:child_process'
import { promisify } from 'node:util'

const run = promisify(execFile)

/** The process and all that it has started, as process numbers; itself first. */
async function treeOf(pid: number): Promise<number[]> {
  const { stdout } = await run('ps', ['-A', '-o', 'pid=,ppid='])
  const children = new Map<number, number[]>()
  for (const line of stdout.trim().split('\n')) {
    const [child = 0, parent = 0] = line.trim().split(/\s+/).map(Number)
    children.set(parent, [...(children.get(parent) ?? []), child])
  }
  const tree = [pid]
  for (const parent of tree) tree.push(...(children.get(parent) ?? []))
  return tree
}

/**
 * Sends a signal to a process and to all that it has started: a database hangs only if its sessions do too. The first
 * one gets it first, so that it cannot start others meanwhile. One that has ended is passed over.
 */
export async function signalTree(pid: number, signal: NodeJS.Signals): Promise<void> {
  const signalled = new Set<number>()
  const send = (one: number) => {
    signalled.add(one)
    try {
      process.kill(one, signal)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
    }
  }
  send(pid)
  // What it had begun to start when it was signalled shows only now.
  for (let found = await treeOf(pid); found.some((one) => !signalled.has(one)); found = await treeOf(pid))
    for (const one of found) if (!signalled.has(one)) send(one)
}
