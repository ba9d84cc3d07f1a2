import { ConfigError } from '../config/config.ts'
import type { NameStore } from './name-store.ts'
import { type NameProfile, normalForm } from './normal-form.ts'

const pageNames = 1_000
/** Names that the error lists. */
const listedMax = 5

/**
 * Makes sure that this runtime makes the keys that the names are stored under: another version of Unicode may make others,
 * and then a name that is taken would be called free. It looks at all names beyond ASCII once for each version. Rejects
 * with ConfigError where a key would change.
 */
export async function checkUnicode(
  store: NameStore,
  from: { profile: NameProfile; stored: string | null; version: string },
): Promise<void> {
  const { profile, stored, version } = from
  if (profile === 'exact' || stored === version) return
  const changed: string[] = []
  for (let after: string | undefined = ''; after !== undefined; ) {
    const names = await store.foreignAfter(after, pageNames)
    for (const { key, name } of names) if (keyOf(name, profile) !== key) changed.push(name)
    after = names.length < pageNames ? undefined : names.at(-1)?.key
  }
  if (changed.length > 0) throw keysChanged(changed, version)
  await store.setUnicode(version)
}

function keyOf(name: string, profile: NameProfile): string | undefined {
  try {
    return normalForm(name, profile)
  } catch {
    return undefined
  }
}

function keysChanged(names: readonly string[], version: string): ConfigError {
  const some = names.slice(0, listedMax).map((name) => JSON.stringify(name))
  const message =
    `with Unicode ${version} of this runtime ${names.length} names would be other names (${some.join(', ')}` +
    `${names.length > some.length ? ', …' : ''}); start with the version of Node that was there before`
  return new ConfigError([{ setting: 'NAMES_PROFILE', message }])
}
