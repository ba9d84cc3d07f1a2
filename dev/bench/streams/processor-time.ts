import { readFile } from 'node:fs/promises'

/** Clock ticks of the kernel's books in a second: fixed at 100 for every Linux that Node runs on. */
const ticksPerSecond = 100

/** Seconds of processor time that a process has used in user and kernel mode, to 10 ms. Rejects where there is no /proc. */
export async function processorSeconds(pid: number): Promise<number> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8')
  // The name in parentheses may hold anything, so the fields are counted from behind it.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return (Number(fields[11]) + Number(fields[12])) / ticksPerSecond
}
