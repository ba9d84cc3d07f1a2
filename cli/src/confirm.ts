import { createInterface } from 'node:readline/promises'
import type { Cli } from './cli.ts'
import { exitCodes } from './exit-code.ts'
import { CommandError, Interrupted } from './failure.ts'

/**
 * Asks before something that cannot be undone. Without a person at both ends it is refused, so that a script
 * has to say `--yes`. Throws CommandError when the answer is no, or `Interrupted`.
 */
export async function confirm(cli: Cli, question: string, yes: boolean): Promise<void> {
  if (yes) return
  if (!cli.stdin.isTTY || !cli.stderr.isTTY)
    throw new CommandError(exitCodes.usage, `This asks before it acts: ${question}`, 'add --yes')
  const lines = createInterface({ input: cli.stdin, output: cli.stderr })
  try {
    const answer = await lines.question(`${question} [y/N] `, { signal: cli.interrupts.signal })
    if (!/^y(es)?$/i.test(answer.trim())) throw new CommandError(exitCodes.failed, 'Nothing was done')
  } catch (error) {
    throw error instanceof Error && error.name === 'AbortError' ? new Interrupted('Interrupted.') : error
  } finally {
    lines.close()
  }
}

/**
 * Reads a secret: typed blind where a person sits, else the first line of standard input. Throws CommandError
 * if there is none.
 */
export async function readSecret(cli: Cli, question: string): Promise<string> {
  const { stdin, stderr } = cli
  if (!stdin.isTTY) {
    let text = ''
    for await (const chunk of stdin) text += String(chunk)
    const secret = text.split('\n', 1)[0]?.trim() ?? ''
    if (secret === '')
      throw new CommandError(exitCodes.usage, 'No key came on standard input', 'echo KEY | pulse login')
    return secret
  }
  stderr.write(question)
  stdin.setRawMode(true)
  try {
    return await readBlind(stdin)
  } finally {
    stdin.setRawMode(false)
    stdin.pause()
    stderr.write('\n')
  }
}

function readBlind(stdin: NodeJS.ReadStream): Promise<string> {
  return new Promise((resolve, reject) => {
    let secret = ''
    const onData = (chunk: Buffer | string) => {
      for (const char of String(chunk)) {
        if (char === '\r' || char === '\n') return end(() => resolve(secret.trim()))
        if (char === '\u0003') return end(() => reject(new Interrupted('Interrupted.')))
        secret = char === '\u007f' ? secret.slice(0, -1) : secret + char
      }
    }
    const end = (settle: () => void) => {
      stdin.off('data', onData)
      settle()
    }
    stdin.on('data', onData)
  })
}
