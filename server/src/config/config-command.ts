import { ConfigError, environment, parseFlags, readConfig } from './config.ts'

/**
 * `config check [--strict]` and `config explain NAME`: what the server would make of its settings. Prints to standard
 * output and returns the exit code: 0 good, 2 wrong words, 5 no such setting. Throws ConfigError for bad settings.
 */
export async function configCommand(argv: readonly string[]): Promise<number> {
  const [verb, ...rest] = argv
  if (verb === 'check') return await check(rest)
  if (verb === 'explain' && rest[0] !== undefined) return await explain(rest[0], rest.slice(1))
  process.stderr.write('pulse: usage: config check [--strict] | config explain NAME\n')
  return 2
}

async function check(words: readonly string[]): Promise<number> {
  const flags = parseFlags(words.filter((word) => word !== '--strict'))
  const config = await readConfig({ ...environment(), flags })
  if (words.includes('--strict') && config.unknown.length > 0) throw new ConfigError(config.unknown)
  for (const { setting, message } of config.unknown) process.stdout.write(`unknown: ${setting}: ${message}\n`)
  process.stdout.write(`Every setting is good${config.file ? ` (${config.file})` : ''}.\n`)
  return 0
}

async function explain(name: string, words: readonly string[]): Promise<number> {
  const config = await readConfig({ ...environment(), flags: parseFlags(words) })
  const found = config.explain(name)
  if (!found) {
    process.stderr.write(`pulse: there is no setting ${name}; docs/operating/configuration.md lists them\n`)
    return 5
  }
  process.stdout.write(`${found.name} = ${found.value}\n  from ${found.source}\n`)
  for (const { value, source } of found.shadowed) process.stdout.write(`  hides ${value} from ${source}\n`)
  return 0
}
