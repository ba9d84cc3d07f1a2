import { createHash } from 'node:crypto'
import type { EventLog } from '@pulse/log'
import { recordsOf } from './hash-records.ts'
import type { HashPlace, Lease } from './lease.ts'
import { NameHasher } from './name-hash.ts'
import { type NamedKey, type NameStore, TooLate } from './name-store.ts'
import type { Replica } from './replica.ts'
import type { SharedBitmap } from './shared-bitmap.ts'

/**
 * From before the hash until the row is written at most, by the database's clock; a statement has 5 s besides. A scan for a
 * new filter applies far more of the topic from before it.
 */
const commitMsMax = 8_000

export interface NewClaim {
  readonly key: string
  readonly name: string
  readonly owner: string | null
  readonly claimedBy: string
  readonly idempotencyKey: string | undefined
}

/** What became of a claim. `repeated`: the same claim was made before and holds. */
export type ClaimOutcome =
  | { readonly kind: 'claimed' | 'repeated'; readonly name: string; readonly claimedAt: Date }
  | { readonly kind: 'taken' }

/** A claim was not made, or it is not known whether; making it again with the same Idempotency-Key tells. */
export class ClaimFailed extends Error {
  override name = 'ClaimFailed'
}

interface ClaimsNeeds {
  readonly log: EventLog
  readonly store: NameStore
  readonly replica: Replica
  readonly lease: Lease
  /** Where other programs look for names too. */
  readonly shared: SharedBitmap | undefined
}

/**
 * Takes names. The bits are set, here and in the topic, before the row is written: a crash between leaves bits that nobody
 * needs, and never a name that is taken and called free.
 *
 * | step | a crash after it |
 * |---|---|
 * | asked whether it is taken | nothing has happened |
 * | bits set here | they are gone |
 * | hash in the topic | the name is a "maybe" and free |
 * | row committed | the name is taken; the claimant was not told, and a repeat with its key is |
 * | everyone has the hash | the same |
 */
export class Claims {
  readonly #needs: ClaimsNeeds
  readonly #hasher = new NameHasher()

  constructor(needs: ClaimsNeeds) {
    this.#needs = needs
  }

  /** Takes a name that rules allow. Rejects with ClaimFailed, or with the database's error. */
  async claim(from: NewClaim): Promise<ClaimOutcome> {
    const { store } = this.#needs
    const claim = from.idempotencyKey === undefined ? null : digestOf(from.claimedBy, from.idempotencyKey)
    const { claim: found, nowMs } = await store.findClaim(from.key)
    const isRepeat = found !== undefined && claim !== null && found.claim?.equals(claim) === true
    if (found && !isRepeat) return { kind: 'taken' }
    const place = await this.#announce([from.key])
    const claimedAt = found?.claimedAt ?? (await store.insert({ ...from, claim }, nowMs + commitMsMax))
    if (!claimedAt) return await this.#notInserted(from, { claim, nowMs })
    await this.#untilEveryoneHas(place, [from.key])
    return { kind: isRepeat ? 'repeated' : 'claimed', name: found?.name ?? from.name, claimedAt }
  }

  /** Takes all that are free; how many were. Rejects as `claim` does, and then some of them may be taken. */
  async claimAll(rows: readonly NamedKey[], by: string): Promise<number> {
    const { store } = this.#needs
    if (rows.length === 0) return 0
    const nowMs = await store.nowMs()
    const keys = rows.map(({ key }) => key)
    const place = await this.#announce(keys)
    const added = await store.insertAll(rows, by, nowMs + commitMsMax).catch((error: unknown) => {
      throw error instanceof TooLate ? new ClaimFailed(error.message) : error
    })
    await this.#untilEveryoneHas(place, keys)
    return added
  }

  /** The rows are committed: waits until no process can call one of the names free. Throws ClaimFailed. */
  async #untilEveryoneHas(place: HashPlace, keys: readonly string[]): Promise<void> {
    // A filter that has taken over since the hash was sent may not have come to it yet.
    this.#needs.replica.add(keys)
    const has = await this.#needs.lease.everyoneHas(place).catch((cause: unknown) => {
      throw new ClaimFailed('who else answers from memory cannot be asked', { cause })
    })
    if (!has) throw new ClaimFailed('another server did not learn of the claim in time')
  }

  /** Sets the bits here and tells everybody; the place below which all of it stands. */
  async #announce(keys: readonly string[]): Promise<HashPlace> {
    const { log, replica, lease, shared } = this.#needs
    replica.add(keys)
    const before = replica.applied
    const told = lease.wanted
    const appended = log.append(recordsOf(keys, this.#hasher, Date.now())).catch((cause: unknown) => {
      throw new ClaimFailed('the log does not take the claim', { cause })
    })
    const [outcomes] = await Promise.all([appended, shared?.add(keys)])
    let place: HashPlace = { epoch: 0, offset: 0 }
    for (const outcome of outcomes) {
      if (!('position' in outcome))
        throw new ClaimFailed('the log did not take the claim', { cause: outcome.error })
      const { epoch, offset } = outcome.position
      // What was applied before stands below; else the log has lost it, and who has applied it would skip this hash.
      const isLost = epoch === before.epoch && offset < Math.max(before.offset, told)
      if (isLost || epoch !== before.epoch) replica.doubt()
      if (isLost) throw new ClaimFailed(`the log has gone back to offset ${offset}`)
      if (offset >= place.offset || epoch !== place.epoch) place = { epoch, offset: offset + 1 }
    }
    return place
  }

  /** Somebody was quicker, which may have been the same claim sent twice; or it was too late. */
  async #notInserted(from: NewClaim, first: { claim: Buffer | null; nowMs: number }): Promise<ClaimOutcome> {
    const { claim: winner, nowMs } = await this.#needs.store.findClaim(from.key)
    if (!winner)
      throw new ClaimFailed(`the claim was not written within ${Math.round(nowMs - first.nowMs)} ms`)
    return first.claim && winner.claim?.equals(first.claim) ? await this.claim(from) : { kind: 'taken' }
  }
}

/** Of the caller and the key, so that nobody repeats what another has claimed. */
function digestOf(claimedBy: string, idempotencyKey: string): Buffer {
  return createHash('sha256').update(`${claimedBy}\n${idempotencyKey}`).digest()
}
