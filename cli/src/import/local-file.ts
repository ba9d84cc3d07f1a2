import { createWriteStream } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import type { Cli } from '../cli.ts'

/** A file that can be read from its start more than once, and whose size is known. */
export interface LocalFile extends AsyncDisposable {
  readonly path: string
}

/** The file of that name; standard input (`-`) goes into one of our own, because its size tells how far an import is. */
export async function asFile(cli: Cli, file: string): Promise<LocalFile> {
  if (file !== '-') return { path: file, [Symbol.asyncDispose]: async () => {} }
  const folder = await mkdtemp(join(tmpdir(), 'pulse-import-'))
  const path = join(folder, 'input')
  await pipeline(cli.stdin, createWriteStream(path, { mode: 0o600 }), { signal: cli.interrupts.signal })
  return { path, [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }) }
}
