import { readFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { join, resolve } from 'node:path'
import { exitCodes } from './exit-code.ts'
import { CommandError } from './failure.ts'

/** Everything that `pulse` takes from its environment. */
export interface CliConfig {
  readonly url: string | undefined
  readonly key: string | undefined
  /** Data folder of a server on this machine. */
  readonly dataFolder: string
  /** Where `pulse login` keeps its context. */
  readonly contextFile: string
  /** Where imports note how far they came. */
  readonly stateFolder: string
  /** How this program was called, so that the commands it proposes can be pasted. */
  readonly command: string
  /** False when NO_COLOR or TERM=dumb asks for plain text. */
  readonly colour: boolean
}

const present = (text: string | undefined) => (text === undefined || text === '' ? undefined : text)

function readSecret(environment: NodeJS.ProcessEnv, name: string): string | undefined {
  const file = present(environment[`${name}_FILE`])
  if (file === undefined) return present(environment[name])
  try {
    return present(readFileSync(file, 'utf8').trim())
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error)
    throw new CommandError(exitCodes.configuration, `${name}_FILE cannot be read: ${why}`)
  }
}

/** Reads the environment, once. Throws CommandError if a named file cannot be read. */
export function readConfig(environment: NodeJS.ProcessEnv): CliConfig {
  const home = homedir()
  const configHome = present(environment.XDG_CONFIG_HOME) ?? join(home, '.config')
  const stateHome = present(environment.XDG_STATE_HOME) ?? join(home, '.local', 'state')
  return {
    url: present(environment.PULSE_URL),
    key: readSecret(environment, 'PULSE_KEY'),
    dataFolder: resolve(present(environment.DATA) ?? 'pulse-data'),
    contextFile: join(configHome, 'pulse', 'context.json'),
    stateFolder: join(stateHome, 'pulse', 'imports'),
    // In a clone, where there is no `pulse` on the path, npm says which of its scripts runs.
    command:
      `${environment.npm_package_name} ${environment.npm_lifecycle_event}` === 'pulse pulse'
        ? 'npm run pulse --'
        : 'pulse',
    colour: present(environment.NO_COLOR) === undefined && environment.TERM !== 'dumb',
  }
}
