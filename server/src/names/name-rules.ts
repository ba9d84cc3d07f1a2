import { readFile } from 'node:fs/promises'
import { setInterval } from 'node:timers/promises'
import type { Logger } from 'pino'
import type { Registry } from 'prom-client'
import { ConfigError } from '../config/config.ts'
import type { NameProfile } from './normal-form.ts'
import { createRulesReport } from './report.ts'
import { createRuleSet, type NameLength, type NameRefusal, type RuleSet } from './rule-set.ts'
import { noRulesFile, parseRulesFile, RulesFault } from './rules-file.ts'

/**
 * Which names are kept back, whoever asks. In this order: their length; what the team's file allows is free; reserved
 * names, in whatever case, and what can be taken for one of four letters or more (`4dm1n`, `аdmin` with a Cyrillic а,
 * `ad.min`); offensive words.
 *
 * Not covered: names of different people that look alike; look-alikes of reserved words of up to three letters; words
 * built around a reserved one (`admin-team`, `admin2`); letters of scripts that few fonts have, and a name whose
 * letters look partly like small and partly like capital Latin ones; an offensive word with a letter repeated or left
 * out, or in a language that no list has.
 */
export interface NameRules extends AsyncDisposable {
  /** Characters (code points) that a name has at least and at most, by the rules of this moment. */
  readonly length: NameLength
  /** Why a normal form is kept back; undefined if it is not. It takes about a microsecond and never throws. */
  refusalOf(key: string): NameRefusal | undefined
}

/** The file is read each second: it is small, and times of files do not tell two changes of one moment apart. */
const pollMs = 1_000

export interface NameRulesNeeds {
  /** JSON as in rules-file.ts; none: the built-in rules. */
  readonly path: string | undefined
  /** First words of the product's own addresses. */
  readonly routeWords: readonly string[]
  readonly profile: NameProfile
  readonly logger: Logger
  readonly metrics: Registry
  /** How often to look for a change of the file; each second if it is not said. */
  readonly pollMs?: number
}

/**
 * Opens the rules; a change of their file holds within two seconds or so. A file that cannot be used then is logged and
 * shows in `pulse_names_rules_broken`, and the rules before it stay; at the start it rejects with ConfigError.
 */
export async function openNameRules(needs: NameRulesNeeds): Promise<NameRules> {
  const { path, logger, metrics } = needs
  const report = createRulesReport({ log: logger, metrics })
  const read = (text: string) => createRuleSet({ ...needs, file: parseRulesFile(text) })
  const first = path === undefined ? undefined : await readFirst(path, read)
  let rules = first?.rules ?? createRuleSet({ ...needs, file: noRulesFile })
  const changes = new SettledChanges(first?.content ?? {})
  const look = async (file: string): Promise<void> => {
    const changed = changes.see(await readContent(file))
    if (changed === undefined) return
    try {
      rules = read(textOf(changed))
      report.readAgain(file)
    } catch (error) {
      if (!(error instanceof RulesFault)) throw error
      report.broken(file, error.message)
    }
  }
  const closing = new AbortController()
  const following =
    path === undefined ? undefined : follow(needs.pollMs ?? pollMs, closing.signal, () => look(path))
  return {
    get length() {
      return rules.length
    },
    refusalOf: (key) => rules.refusalOf(key),
    [Symbol.asyncDispose]: async () => {
      closing.abort()
      await following
    },
  }
}

/** What a look at the file found. */
interface Content {
  readonly text?: string
  readonly fault?: string
}

/** Tells changes from files that are just being written: a content counts once two looks in a row have found it. */
export class SettledChanges {
  #settled: Content
  #last: Content

  constructor(first: Content) {
    this.#settled = first
    this.#last = first
  }

  /** Takes what a look has found; gives it back if it counts from now on. */
  see(found: Content): Content | undefined {
    const isSettled = isSame(found, this.#last)
    this.#last = found
    if (!isSettled || isSame(found, this.#settled)) return undefined
    this.#settled = found
    return found
  }
}

const isSame = (one: Content, other: Content): boolean => one.text === other.text && one.fault === other.fault

async function readContent(path: string): Promise<Content> {
  try {
    return { text: await readFile(path, 'utf8') }
  } catch (error) {
    return { fault: `it cannot be read (${(error as NodeJS.ErrnoException).code})` }
  }
}

function textOf({ text, fault }: Content): string {
  if (text === undefined) throw new RulesFault([fault ?? 'it cannot be read'])
  return text
}

async function readFirst(
  path: string,
  read: (text: string) => RuleSet,
): Promise<{ content: Content; rules: RuleSet }> {
  const content = await readContent(path)
  try {
    return { content, rules: read(textOf(content)) }
  } catch (error) {
    if (!(error instanceof RulesFault)) throw error
    throw new ConfigError([{ setting: 'NAMES_RULES', message: `${path} cannot be used: ${error.message}` }])
  }
}

/** Looks again and again, one look after the other, until the signal. */
async function follow(everyMs: number, signal: AbortSignal, look: () => Promise<void>): Promise<void> {
  try {
    for await (const _ of setInterval(everyMs, undefined, { signal, ref: false })) await look()
  } catch (error) {
    if (!signal.aborted) throw error
  }
}
