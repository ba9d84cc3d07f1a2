import { existsSync, readFileSync } from 'node:fs'
import { isAbsolute, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { parseEnv } from 'node:util'
import type { ConfigProblem } from './config-error.ts'
import { type Setting, settingList } from './settings.ts'

/** A place that says a value for a setting, before it is known whether the value is any good. */
export interface Candidate {
  /** For people: `flag --port`, `environment PORT`, `.env PORT`, `pulse.config.ts port`, `default`. */
  readonly source: string
  readonly raw: unknown
  /** Relative paths in a value are relative to this folder. */
  readonly folder: string
}

export interface Places {
  readonly flags: Readonly<Record<string, unknown>>
  readonly env: Readonly<Record<string, string | undefined>>
  readonly dotEnv: Readonly<Record<string, string | undefined>>
  readonly file: { readonly path: string; readonly content: Readonly<Record<string, unknown>> } | undefined
  readonly cwd: string
}

/** Reads `.env` of the folder; no file is no variables. */
export function readDotEnv(cwd: string): Readonly<Record<string, string | undefined>> {
  const path = resolve(cwd, '.env')
  return existsSync(path) ? parseEnv(readFileSync(path, 'utf8')) : {}
}

/** Loads a config file: the default export of a module, or JSON. Adds to `problems` what is wrong with it. */
export async function loadConfigFile(path: string, problems: ConfigProblem[]): Promise<Places['file']> {
  try {
    const content: unknown = path.endsWith('.json')
      ? JSON.parse(readFileSync(path, 'utf8'))
      : ((await import(pathToFileURL(path).href)) as { default?: unknown }).default
    if (typeof content === 'object' && content !== null && !Array.isArray(content))
      return { path, content: content as Record<string, unknown> }
    problems.push({
      setting: 'CONFIG',
      message: `${path} has no default export that is an object: export default defineConfig({ … })`,
    })
  } catch (error) {
    const reason = error instanceof Error ? `${error.name}: ${error.message}` : String(error)
    problems.push({ setting: 'CONFIG', message: `${path} could not be loaded: ${reason}` })
  }
  return undefined
}

/** Every place that says something for this setting, the strongest first: flag, environment, `.env`, config file. */
export function candidatesFor(
  key: string,
  setting: Setting,
  places: Places,
  problems: ConfigProblem[],
): Candidate[] {
  const found: Candidate[] = []
  const flag = setting.flag === undefined ? undefined : places.flags[setting.flag]
  if (flag !== undefined) found.push({ source: `flag --${setting.flag}`, raw: flag, folder: places.cwd })
  found.push(...fromVariables(setting, places.env, { label: 'environment', cwd: places.cwd, problems }))
  found.push(...fromVariables(setting, places.dotEnv, { label: '.env', cwd: places.cwd, problems }))
  const inFile = places.file?.content[key]
  if (places.file && inFile !== undefined)
    found.push({ source: `${places.file.path} ${key}`, raw: inFile, folder: resolve(places.file.path, '..') })
  return found
}

function fromVariables(
  setting: Setting,
  variables: Readonly<Record<string, string | undefined>>,
  about: { label: string; cwd: string; problems: ConfigProblem[] },
): Candidate[] {
  const { name } = setting
  const direct = variables[name]
  const file = setting.secret ? variables[`${name}_FILE`] : undefined
  if (direct !== undefined && file !== undefined) {
    const message = `both ${name} and ${name}_FILE are set (${about.label}); keep one of them`
    about.problems.push({ setting: name, message })
  }
  if (file !== undefined) {
    const path = isAbsolute(file) ? file : resolve(about.cwd, file)
    try {
      const raw = readFileSync(path, 'utf8').trim()
      return [{ source: `${about.label} ${name}_FILE (${path})`, raw, folder: about.cwd }]
    } catch (error) {
      const reason = error instanceof Error && 'code' in error ? String(error.code) : 'unreadable'
      about.problems.push({
        setting: `${name}_FILE`,
        message: `the file ${path} cannot be read (${reason}); from ${about.label}`,
      })
      return []
    }
  }
  // Compose files and shells pass on what is not set as empty text; it counts only where empty means something.
  if (direct === '' && setting.kind.read('') === undefined) return []
  return direct === undefined ? [] : [{ source: `${about.label} ${name}`, raw: direct, folder: about.cwd }]
}

/** Keys of the config file and of `.env` that no setting has, each with the nearest name. */
export function unknownKeys(places: Places, parts: readonly string[]): ConfigProblem[] {
  const keys = [...settingList.map(([key]) => key), ...parts]
  const names = settingList.flatMap(([, one]) => (one.secret ? [one.name, `${one.name}_FILE`] : [one.name]))
  const inFile = Object.keys(places.file?.content ?? {}).filter((key) => !keys.includes(key))
  const inDotEnv = Object.keys(places.dotEnv).filter((name) => !names.includes(name))
  return [
    ...inFile.map((key) => unknownKey(key, keys, places.file?.path ?? 'config file')),
    ...inDotEnv.map((name) => unknownKey(name, names, '.env')),
  ]
}

function unknownKey(key: string, known: readonly string[], source: string): ConfigProblem {
  const nearest = known
    .map((name) => ({ name, distance: editDistance(key.toLowerCase(), name.toLowerCase()) }))
    .sort((a, b) => a.distance - b.distance)[0]
  const hint = nearest && nearest.distance <= 3 ? `; did you mean ${nearest.name}?` : ''
  return { setting: key, message: `there is no such setting (${source})${hint}` }
}

function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      const replaced = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1)
      next.push(Math.min(replaced, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1))
    }
    row = next
  }
  return row[b.length] ?? 0
}
