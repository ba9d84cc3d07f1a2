import type { NameCheck } from '@pulse/protocol/name'
import { unlessAway } from '../database/unless-away.ts'
import { ProblemError } from '../http/problem-error.ts'
import type { NameRules } from './name-rules.ts'
import type { NameStore } from './name-store.ts'
import { NameFault, type NameProfile, normalForm } from './normal-form.ts'
import type { NamesReport } from './report.ts'
import type { SharedBitmap } from './shared-bitmap.ts'

/** A name that may be asked for: trimmed, and under its key. */
export interface AskedName {
  readonly username: string
  readonly key: string
  /** Kept back by the rules; it is answered like one that is taken. */
  readonly refused: boolean
}

export interface ChecksNeeds {
  readonly profile: NameProfile
  readonly rules: NameRules
  readonly store: NameStore
  /** Whether a bit that is missing proves that the name is free, at this instant. */
  readonly isCertain: () => boolean
  /** False: no bit pattern of the key. */
  readonly has: (key: string) => boolean
  /** A second place that may know names of which this process knows nothing. */
  readonly shared: SharedBitmap | undefined
  readonly report: NamesReport
}

/** Whether names are free. */
export class Checks {
  readonly #needs: ChecksNeeds

  constructor(needs: ChecksNeeds) {
    this.#needs = needs
  }

  /** Reads a name. Throws ProblemError: `invalid_request` for none, `invalid_name` with the reason. */
  read(text: string): AskedName {
    const { rules } = this.#needs
    const key = this.keyOf(text)
    const username = text.trim()
    const refusal = rules.refusalOf(key)
    if (refusal === 'too_short' || refusal === 'too_long')
      throw invalid(username, lengthSentence(refusal, rules.length))
    return { username, key, refused: refusal !== undefined }
  }

  /** The key of a name, whatever the rules of today say to it. Throws as `read` does. */
  keyOf(text: string): string {
    const username = text.trim()
    if (username === '')
      throw new ProblemError('invalid_request', 'Username is required', {
        members: { available: false, username, message: 'Username is required' },
      })
    try {
      return normalForm(username, this.#needs.profile)
    } catch (error) {
      if (!(error instanceof NameFault)) throw error
      throw invalid(username, error.message)
    }
  }

  /** Answers in the same tick where a bit is missing, else after one look-up. Rejects with ProblemError `unavailable`. */
  check(text: string): NameCheck | Promise<NameCheck> {
    const name = this.#readToCheck(text)
    const certain = this.#needs.isCertain()
    if (!certain || !this.isSurelyFree(name)) return this.#lookUp(name, certain)
    return this.#needs.shared ? this.#askShared(name, this.#needs.shared) : this.#free(name)
  }

  #readToCheck(text: string): AskedName {
    try {
      return this.read(text)
    } catch (error) {
      this.#needs.report.checked('refused')
      throw error
    }
  }

  #free({ username }: AskedName): NameCheck {
    this.#needs.report.checked('free')
    return { available: true, username }
  }

  async #askShared(name: AskedName, shared: SharedBitmap): Promise<NameCheck> {
    const [maybe] = await shared.has([name.key])
    return maybe ? this.#lookUp(name, true) : this.#free(name)
  }

  /** Whether it is free as far as memory can tell; true only while that is certain. */
  isSurelyFree({ key, refused }: AskedName): boolean {
    return !refused && this.#needs.isCertain() && !this.#needs.has(key)
  }

  /** Many at once, with one look-up for all of them that need one. */
  async checkAll(names: readonly AskedName[]): Promise<readonly NameCheck[]> {
    const { store, shared, isCertain } = this.#needs
    const certain = isCertain()
    const elsewhere = (await shared?.has(names.map(({ key }) => key))) ?? []
    const asked = names.filter((name, n) => elsewhere[n] === true || !this.isSurelyFree(name))
    const taken = asked.length === 0 ? new Set() : await this.#asked(store.taken(asked.map(({ key }) => key)))
    const open = new Set(asked)
    return names.map((name) => {
      if (open.has(name)) return this.#answer(name, taken.has(name.key), certain)
      return this.#free(name)
    })
  }

  async #lookUp(name: AskedName, certain: boolean): Promise<NameCheck> {
    // Also of a name that is kept back: the time it takes must not tell it from one that is taken.
    const taken = await this.#asked(this.#needs.store.isTaken(name.key))
    return this.#answer(name, taken, certain)
  }

  #answer({ username, refused }: AskedName, taken: boolean, certain: boolean): NameCheck {
    const { report } = this.#needs
    if (taken || refused) {
      report.checked('taken')
      return { available: false, username, source: 'PostgreSQL' }
    }
    report.checked(certain ? 'resolved' : 'unsure')
    return {
      available: true,
      username,
      source: certain ? 'Bloom Filter (False Positive Resolved)' : 'PostgreSQL',
    }
  }

  async #asked<T>(asked: Promise<T>): Promise<T> {
    try {
      return await unlessAway(asked)
    } catch (error) {
      if (error instanceof ProblemError) this.#needs.report.checked('unavailable')
      throw error
    }
  }
}

const invalid = (username: string, message: string) =>
  new ProblemError('invalid_name', message, { members: { available: false, username, message } })

const lengthSentence = (refusal: 'too_short' | 'too_long', { min, max }: NameRules['length']) =>
  refusal === 'too_short'
    ? `A name has at least ${min} characters here.`
    : `A name has at most ${max} characters here.`
