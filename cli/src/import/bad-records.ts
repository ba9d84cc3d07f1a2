import type { FileHandle } from 'node:fs/promises'
import { open } from 'node:fs/promises'

/** A record that did not become an event, with where it stands and why. */
export interface BadRecord {
  readonly line: number
  readonly record: number
  readonly reason: string
  /** The record as it stands in the file. */
  readonly text: string
}

/** Takes bad records: all into a file if there is one, the first few for the terminal. */
export interface BadRecords extends AsyncDisposable {
  readonly first: readonly BadRecord[]
  add(records: readonly BadRecord[]): Promise<void>
}

const shownMax = 20

/** Opens the place for bad records. `goOn`: add to the file of an earlier run. Throws the system's error. */
export async function openBadRecords(file: string | undefined, goOn: boolean): Promise<BadRecords> {
  const handle: FileHandle | undefined = file === undefined ? undefined : await open(file, goOn ? 'a' : 'w')
  const first: BadRecord[] = []
  return {
    first,
    async add(records) {
      for (const record of records) if (first.length < shownMax) first.push(record)
      if (records.length > 0)
        await handle?.write(records.map((record) => `${JSON.stringify(record)}\n`).join(''))
    },
    [Symbol.asyncDispose]: async () => handle?.close(),
  }
}
