import { open } from 'node:fs/promises'
import { exitCodes } from '../exit-code.ts'
import { CommandError } from '../failure.ts'
import { unreadable } from '../unreadable.ts'

/** How a file begins. */
export interface FileHead {
  /** Its first characters, a byte each, behind the mark of UTF-8 where there is one. */
  readonly head: string
  /** Where the text begins: behind that mark. */
  readonly from: number
  /** Size of the file. */
  readonly bytes: number
}

const unusable: readonly (readonly [beginning: string, what: string, reader: string])[] = [
  ['\u00ff\u00fe', 'is UTF-16; only UTF-8 is read', 'iconv -f UTF-16 -t UTF-8 FILE'],
  ['\u00fe\u00ff', 'is UTF-16; only UTF-8 is read', 'iconv -f UTF-16 -t UTF-8 FILE'],
  ['\u001f\u008b', 'is compressed', 'zcat FILE'],
  ['PK\u0003\u0004', 'is a zip archive', 'unzip -p FILE'],
]

/**
 * Looks at the beginning of a file that is to be imported. `command` reads standard input; it is proposed where something
 * must stand before it. Throws CommandError if the file cannot be read, or is no text.
 */
export async function lookInto(file: string, command: string): Promise<FileHead> {
  const { head, bytes } = await readHead(file)
  const wrong = unusable.find(([beginning]) => head.startsWith(beginning))
  if (wrong) throw new CommandError(exitCodes.failed, `${file} ${wrong[1]}`, `${wrong[2]} | ${command}`)
  const from = head.startsWith('\u00ef\u00bb\u00bf') ? 3 : 0
  return { head: head.slice(from), from, bytes }
}

async function readHead(file: string): Promise<{ head: string; bytes: number }> {
  try {
    await using handle = await open(file)
    const { buffer, bytesRead } = await handle.read({ buffer: Buffer.alloc(4096) })
    return { head: buffer.toString('latin1', 0, bytesRead), bytes: (await handle.stat()).size }
  } catch (error) {
    throw unreadable(file, error)
  }
}
