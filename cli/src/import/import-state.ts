import { createHash } from 'node:crypto'
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Place } from './records.ts'

/** What an import counts. */
export interface ImportCounts {
  readonly accepted: number
  readonly duplicates: number
  readonly rejected: number
}

/** How far an import came: every record before `place` has its verdict. */
export interface ImportState {
  readonly place: Place
  readonly counts: ImportCounts
}

/** Keeps how far one import came, so that the same command goes on after an interruption. */
export interface ImportStateFile {
  /** How far an earlier run came; undefined if there was none. */
  load(): Promise<ImportState | undefined>
  save(state: ImportState): Promise<void>
  /** The import is complete: a repetition starts from the beginning, and finds every event there. */
  clear(): Promise<void>
}

/** Names the state of one import: `identity` holds everything that makes it another import. */
export function openImportState(folder: string, identity: unknown): ImportStateFile {
  const name = createHash('sha256').update(JSON.stringify(identity)).digest('hex').slice(0, 32)
  const file = join(folder, `${name}.json`)
  return {
    async load() {
      try {
        const saved: unknown = JSON.parse(await readFile(file, 'utf8'))
        return isState(saved) ? saved : undefined
      } catch {
        return undefined
      }
    },
    async save(state) {
      await mkdir(folder, { recursive: true, mode: 0o700 })
      const aside = `${file}.${process.pid}`
      // No fsync: a state that is too old only sends some events again, which the server recognises.
      await writeFile(aside, JSON.stringify(state), { mode: 0o600 })
      await rename(aside, file)
    },
    clear: () => rm(file, { force: true }),
  }
}

function isState(saved: unknown): saved is ImportState {
  if (typeof saved !== 'object' || saved === null || !('place' in saved) || !('counts' in saved)) return false
  const { place } = saved
  return typeof place === 'object' && place !== null && 'offset' in place && typeof place.offset === 'number'
}
