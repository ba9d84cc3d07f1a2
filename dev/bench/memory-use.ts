import { readdir, readFile } from 'node:fs/promises'

/** Memory of processes, from the kernel's own books (Linux). */
export interface MemoryUse {
  /** Shared pages are split among those that share them, so these figures add up. */
  readonly pssBytes: number
  /** What one would read in `top`; shared pages count for every process. */
  readonly rssBytes: number
}

/** The process and everything that it has started. */
export async function processTree(root: number): Promise<readonly number[]> {
  const parents = new Map<number, number>()
  for (const name of await readdir('/proc')) {
    if (!/^\d+$/.test(name)) continue
    const stat = await readFile(`/proc/${name}/stat`, 'utf8').catch(() => undefined)
    // The name in parentheses may hold anything, so the fields are counted from behind it.
    const parent = stat?.slice(stat.lastIndexOf(')') + 2).split(' ')[1]
    if (parent !== undefined) parents.set(Number(name), Number(parent))
  }
  const tree = [root]
  for (const pid of tree) for (const [child, parent] of parents) if (parent === pid) tree.push(child)
  return tree
}

/** Memory of these processes together; one that has just ended counts nothing. Rejects where there is no /proc. */
export async function memoryOf(pids: readonly number[]): Promise<MemoryUse> {
  await readFile('/proc/self/smaps_rollup', 'utf8')
  let [pssBytes, rssBytes] = [0, 0]
  for (const pid of pids) {
    const text = await readFile(`/proc/${pid}/smaps_rollup`, 'utf8').catch(() => '')
    pssBytes += kibibytes(text, 'Pss') * 1024
    rssBytes += kibibytes(text, 'Rss') * 1024
  }
  return { pssBytes, rssBytes }
}

const kibibytes = (text: string, name: string) =>
  Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(text)?.[1] ?? 0)
