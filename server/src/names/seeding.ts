import { readFile } from 'node:fs/promises'
import { setTimeout as delay } from 'node:timers/promises'
import { z } from 'zod'
import { ProblemError } from '../http/problem-error.ts'
import { ClaimFailed } from './claims.ts'
import type { ImportResult } from './names.ts'
import type { NamesReport } from './report.ts'

const seedSchema = z.array(z.looseObject({ username: z.string().optional() }))
const againMs = 1_000
/** Names in one go. */
const sliceNames = 10_000

interface SeedingNeeds {
  /** A JSON array of objects with `username`; nothing happens where there is none. */
  readonly path: string
  readonly names: { claimAll(usernames: readonly string[], by: string): Promise<ImportResult> }
  readonly report: NamesReport
}

/** Takes the names of a file over in the background; as often as it is started, each once. It waits for a database that is away. */
export function seedNames({ path, names, report }: SeedingNeeds): AsyncDisposable {
  const closed = new AbortController()
  const done = seed()
  async function seed(): Promise<void> {
    let usernames: readonly string[]
    try {
      usernames = await readUsernames(path)
    } catch (error) {
      report.seedingFailed(error, path)
      return
    }
    let added = 0
    for (let from = 0; from < usernames.length && !closed.signal.aborted; ) {
      try {
        added += (await names.claimAll(usernames.slice(from, from + sliceNames), 'seed')).added
        from += sliceNames
      } catch (error) {
        if (!(error instanceof ProblemError || error instanceof ClaimFailed))
          return report.seedingFailed(error, path)
        await delay(againMs, undefined, { signal: closed.signal }).catch(() => {})
      }
    }
    if (added > 0) report.seeded(added, path)
  }
  return {
    [Symbol.asyncDispose]: async () => {
      closed.abort()
      await done
    },
  }
}

async function readUsernames(path: string): Promise<readonly string[]> {
  try {
    const entries = seedSchema.parse(JSON.parse(await readFile(path, 'utf8')))
    return entries.flatMap(({ username }) =>
      username === undefined || username.trim() === '' ? [] : [username],
    )
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
    throw error
  }
}
