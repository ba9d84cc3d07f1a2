import { exitCodes } from './exit-code.ts'
import { CommandError } from './failure.ts'

const words: Readonly<Record<string, string>> = {
  ENOENT: 'it is not there',
  EISDIR: 'it is a folder',
  EACCES: 'you may not read it',
}

/** The failure of a file that the system would not open or read, in words where the system has only a code. */
export function unreadable(file: string, error: unknown): CommandError {
  const code = error instanceof Error && 'code' in error ? String(error.code) : ''
  const why = words[code] ?? (error instanceof Error ? error.message : String(error))
  return new CommandError(exitCodes.failed, `${file} cannot be read: ${why}`)
}
