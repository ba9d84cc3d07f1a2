import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { ConfigError, type ConfigProblem } from './config-error.ts'
import { partNames, readParts } from './config-parts.ts'
import { excludedTogether } from './exclusions.ts'
import { type Setting, type SettingValues, settingList } from './settings.ts'
import { slices } from './slices.ts'
import {
  type Candidate,
  candidatesFor,
  loadConfigFile,
  type Places,
  readDotEnv,
  unknownKeys,
} from './sources.ts'

export { ConfigError, type ConfigProblem } from './config-error.ts'

/** Where configuration may come from. Whoever starts the process hands these in; nothing else is looked at. */
export interface ConfigSources {
  /** The environment, usually `process.env`. */
  readonly env: Readonly<Record<string, string | undefined>>
  /** Flags by name without dashes, as `parseFlags` gives them. */
  readonly flags?: Readonly<Record<string, unknown>>
  /** Folder of `.env` and `pulse.config.ts`, and of relative paths on the command line. */
  readonly cwd: string
  /** True if a person watches standard error; changes the default of LOG_LEVEL. */
  readonly terminal?: boolean
}

/** Which value of a setting counts, and what it hides. Secrets are masked. */
export interface Explanation {
  readonly name: string
  readonly key: string
  readonly value: string
  readonly source: string
  /** Values of weaker sources, the strongest first. */
  readonly shadowed: readonly { readonly value: string; readonly source: string }[]
}

/** All that was configured, read once and frozen. Each module gets the slice with its name. */
export type Config = ReturnType<typeof slices> & {
  /** Which value of a setting counts and why; undefined if there is no such setting. */
  explain(name: string): Explanation | undefined
  /** Keys in the config file and `.env` that no setting has; `config check --strict` makes them errors. */
  readonly unknown: readonly ConfigProblem[]
}

/**
 * Reads flags, environment, `.env`, config file and defaults, in this order of strength, and checks all of it.
 * Throws one ConfigError that names every bad setting with what was expected, received (secrets masked) and where.
 */
export async function readConfig(from: ConfigSources): Promise<Config> {
  const problems: ConfigProblem[] = []
  const places = await readPlaces(from, problems)
  const parts = readParts(places.file, problems)
  const found = new Map<string, Candidate[]>()
  const values: Record<string, unknown> = {}
  for (const [key, setting] of settingList) {
    const candidates = candidatesFor(key, setting, places, problems)
    found.set(key, candidates)
    values[key] = chosenValue(setting, candidates[0], problems)
  }
  if (problems.length === 0) problems.push(...excludedTogether(values as SettingValues))
  if (problems.length > 0) throw new ConfigError(problems)
  const explain = (name: string) => explanation(name, found)
  const unknown = unknownKeys(places, partNames)
  return freeze({ ...slices(values as SettingValues, { found, places, parts, from }), explain, unknown })
}

/** What this process was started with: the only place where the environment is read. */
export function environment(): Omit<ConfigSources, 'flags'> {
  return { env: process.env, cwd: process.cwd(), terminal: process.stderr.isTTY === true }
}

/** Flags of the command line as an object; throws ConfigError for one that does not exist or lacks its value. */
export function parseFlags(argv: readonly string[]): Readonly<Record<string, unknown>> {
  const options: Record<string, { type: 'string' | 'boolean' }> = {}
  for (const [, setting] of settingList)
    if (setting.flag)
      options[setting.flag] = { type: typeof setting.default === 'boolean' ? 'boolean' : 'string' }
  try {
    return parseArgs({ args: [...argv], options, strict: true, allowNegative: true }).values
  } catch (error) {
    throw new ConfigError([
      { setting: 'flags', message: error instanceof Error ? error.message : String(error) },
    ])
  }
}

async function readPlaces(from: ConfigSources, problems: ConfigProblem[]): Promise<Places> {
  const flags = from.flags ?? {}
  const dotEnv = readDotEnv(from.cwd)
  const named = flags.config ?? from.env.CONFIG ?? dotEnv.CONFIG
  const path = resolve(from.cwd, typeof named === 'string' ? named : 'pulse.config.ts')
  const there = existsSync(path)
  if (!there && named !== undefined) problems.push({ setting: 'CONFIG', message: `there is no file ${path}` })
  const file = there ? await loadConfigFile(path, problems) : undefined
  return { flags, env: from.env, dotEnv, file, cwd: from.cwd }
}

function chosenValue(setting: Setting, candidate: Candidate | undefined, problems: ConfigProblem[]): unknown {
  if (!candidate) return setting.default
  const value = setting.kind.read(candidate.raw)
  if (value !== undefined) return value
  const received = setting.secret ? masked(candidate.raw) : JSON.stringify(candidate.raw)
  const message = `expected ${setting.kind.expected}, received ${received} from ${candidate.source}`
  problems.push({ setting: setting.name, message })
  return setting.default
}

/** Says nothing about a secret but how long it is, which is what one needs to spot an empty or cut one. */
function masked(raw: unknown): string {
  return typeof raw === 'string' ? `*** (${raw.length} characters)` : '***'
}

function explanation(
  name: string,
  found: ReadonlyMap<string, readonly Candidate[]>,
): Explanation | undefined {
  const entry = settingList.find(([key, one]) => key === name || one.name === name.toUpperCase())
  if (!entry) return undefined
  const [key, setting] = entry
  const show = (raw: unknown) => (setting.secret ? masked(raw) : shown(setting, raw))
  const all = (found.get(key) ?? []).map(({ raw, source }) => ({ value: show(raw), source }))
  const fallback =
    setting.default === undefined ? (setting.defaultText ?? 'none') : setting.kind.write(setting.default)
  all.push({ value: fallback, source: 'default' })
  const [first = { value: fallback, source: 'default' }, ...shadowed] = all
  return { name: setting.name, key, ...first, shadowed }
}

function shown(setting: Setting, raw: unknown): string {
  const value = setting.kind.read(raw)
  return value === undefined ? JSON.stringify(raw) : setting.kind.write(value)
}

/** Freezes plain objects and lists all the way down; functions (handlers) are left as they are. */
function freeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value)
    for (const member of Object.values(value)) freeze(member)
  }
  return value
}
