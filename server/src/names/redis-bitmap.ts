import type { Logger } from 'pino'
import type { Registry } from 'prom-client'
import { type BitWriter, createBitWriter } from './redis-bits.ts'
import { BitmapUnavailable, type Command, openRedisLink, type RedisLink } from './redis-link.ts'
import {
  type BitmapPlace,
  faultOf,
  type Reading,
  readCommands,
  readingOf,
  type Verification,
} from './redis-proof.ts'
import { type BitmapRebuild, beginRebuild } from './redis-rebuild.ts'
import { type BitmapReport, createBitmapReport } from './redis-report.ts'
import { type BitmapStats, statsOf } from './redis-stats.ts'
import { SaltedPositions } from './salted-positions.ts'

/** `verified` at the last look; `away`: no answer, or an error; `unverified`: it may lack names. */
export type BitmapState =
  | { readonly kind: 'verified' }
  | { readonly kind: 'away' | 'unverified'; readonly why: string }

/**
 * The names filter as one plain Redis string of bits, which other programs may share as long as they only set bits.
 * It only ever gains bits. It counts while it is verified; who verified it last is kept by the caller, for all processes.
 */
export interface RedisBitmap extends AsyncDisposable {
  readonly state: BitmapState
  /**
   * For each key: true, maybe; false, never added. Rejects with BitmapUnavailable when Redis is away, has not answered
   * in `askMsMax`, or is not the one last verified: then nothing is known, whatever the bits say.
   */
  has(keys: readonly string[]): Promise<readonly boolean[]>
  /**
   * Resolves when the keys are in the verified bitmap. Otherwise it rejects with BitmapUnavailable, and whether they
   * are there is unknown; with reason `unverified` they were set in the Redis that answered, so that a rebuild which
   * is under way there keeps them. After a rejection a name must not become taken as long as another process may
   * believe the bitmap: Redis may be away for us alone.
   */
  add(keys: readonly string[]): Promise<void>
  /**
   * Begins a rebuild in the Redis that answers now. Bits are not cleared: others may have set them. The caller adds
   * every name and verifies. One that was added before `begin` by a claim that had not committed yet is not in a scan
   * that begins too early: scan when such claims have ended, or add them again.
   */
  begin(): Promise<BitmapRebuild>
  /** Takes over what another process has verified; it counts if Redis still proves it. Gives the state after a look. */
  adopt(verification: Verification): Promise<BitmapState>
  /** Counts the bits. If they have become fewer, which no program may do, nobody believes the bitmap any more. */
  stats(): Promise<BitmapStats>
}

export interface RedisBitmapNeeds {
  /** `redis[s]://[[user][:password]@]host[:port][/database]`; Redis 6 or newer, or what speaks as it does; no cluster. */
  readonly url: string
  readonly key: string
  /** 65,536 to 2^32. */
  readonly bits: number
  /** Positions of each name, 1 to 64. */
  readonly hashes: number
  readonly log: Logger
  readonly metrics: Registry
  /** How long a question, or writing a thousand names, may take; default 250 and 2,000. */
  readonly askMsMax?: number
  readonly writeMsMax?: number
  /** Told of every change of `state`, so that a caller knows when to rebuild. It must not throw. */
  readonly changed?: (state: BitmapState) => void
}

const notYet = 'nobody has verified it yet'

const limits = {
  askMsMax: 250,
  writeMsMax: 2_000,
  countMsMax: 2_000,
  lookEveryMs: 1_000,
  keysPerAskMax: 1_000,
} as const

/** Opens the bitmap; Redis need not be there. Throws RangeError for sizes that cannot be, TypeError for a bad URL. */
export async function openRedisBitmap(needs: RedisBitmapNeeds): Promise<RedisBitmap> {
  const bitmap = new Bitmap(needs)
  await bitmap.open(needs.url)
  return bitmap
}

class Bitmap implements RedisBitmap {
  state: BitmapState = { kind: 'unverified', why: notYet }
  readonly #place: BitmapPlace
  readonly #positions: SaltedPositions
  readonly #writer: BitWriter
  readonly #report: BitmapReport
  readonly #changed: (state: BitmapState) => void
  readonly #askMsMax: number
  readonly #writeMsMax: number
  #link: RedisLink | undefined
  #verification: Verification | undefined
  #setBitsMost = 0
  #looking: Promise<void> | undefined
  #timer: NodeJS.Timeout | undefined
  #closed = false

  constructor({ key, bits, hashes, log, metrics, changed, ...needs }: RedisBitmapNeeds) {
    this.#place = { key, sentinelKey: `${key}:verified`, bits }
    this.#positions = new SaltedPositions({ bits, hashes })
    this.#writer = createBitWriter({ key, positions: this.#positions })
    this.#report = createBitmapReport({ log, metrics })
    this.#askMsMax = needs.askMsMax ?? limits.askMsMax
    this.#writeMsMax = needs.writeMsMax ?? limits.writeMsMax
    this.#changed = changed ?? (() => undefined)
  }

  async open(url: string): Promise<void> {
    this.#link = await openRedisLink({
      url,
      ready: () => this.#look(),
      lost: (error) =>
        this.#turn({ kind: 'away', why: error instanceof Error ? error.message : String(error) }),
    })
    this.#look()
    this.#timer = setInterval(() => this.#look(), limits.lookEveryMs).unref()
  }

  async has(keys: readonly string[]): Promise<readonly boolean[]> {
    const found: boolean[] = []
    for (let from = 0; from < keys.length; from += limits.keysPerAskMax)
      found.push(...(await this.#ask(keys.slice(from, from + limits.keysPerAskMax))))
    return found
  }

  async #ask(keys: readonly string[]): Promise<boolean[]> {
    const start = performance.now()
    const positions = keys.flatMap((key) => this.#positions.of(key))
    const { fields } = await this.#prove([], positions, this.#askMsMax)
    this.#report.asked(performance.now() - start)
    const { hashes } = this.#positions
    return keys.map((_, index) =>
      fields.slice(index * hashes, (index + 1) * hashes).every((bit) => bit === 1),
    )
  }

  async add(keys: readonly string[]): Promise<void> {
    let unverified: BitmapUnavailable | undefined
    for await (const commands of this.#writer.commandsFor(keys))
      try {
        await this.#addGroup(commands)
      } catch (error) {
        if (!(error instanceof BitmapUnavailable) || error.reason !== 'unverified') throw error
        // The rest is set all the same: another process may be rebuilding, and must not miss these.
        unverified = error
      }
    if (unverified) throw unverified
  }

  async #addGroup(commands: readonly Command[]): Promise<void> {
    if (this.#verification) await this.#prove(commands, [], this.#writeMsMax)
    else {
      await this.#run(commands, this.#writeMsMax)
      throw this.#unverified(notYet)
    }
  }

  begin(): Promise<BitmapRebuild> {
    return beginRebuild({
      place: this.#place,
      writer: this.#writer,
      run: (commands) => this.#run(commands, this.#writeMsMax),
      believe: async (verification) => {
        const state = await this.adopt(verification)
        if (state.kind !== 'verified') throw new BitmapUnavailable('unverified', state.why)
      },
    })
  }

  async adopt(verification: Verification): Promise<BitmapState> {
    this.#verification = verification
    this.#setBitsMost = 0
    await this.#prove([], [], this.#askMsMax).catch(() => undefined)
    return this.state
  }

  async stats(): Promise<BitmapStats> {
    const { key, sentinelKey, bits } = this.#place
    const believed = this.#verification
    const count = ['BITCOUNT', key, '0', String(Math.ceil(bits / 8) - 1)]
    const answers = await this.#run([['STRLEN', key], count, ['GET', sentinelKey]], limits.countMsMax)
    const [bytes, setBits] = answers.slice(0, 2).map(Number)
    const stats = statsOf({ bits, hashes: this.#positions.hashes, setBits: setBits ?? 0, bytes: bytes ?? 0 })
    // Only while it is our verification that stands there: another bitmap may well have fewer.
    if (believed && believed === this.#verification && answers[2] === believed.sentinel)
      await this.#compare(stats.setBits)
    return stats
  }

  async #compare(setBits: number): Promise<void> {
    if (setBits < this.#setBitsMost) {
      await this.#run([['DEL', this.#place.sentinelKey]], this.#askMsMax)
      this.#turn({ kind: 'unverified', why: 'bits that were set are not any more' })
    }
    this.#setBitsMost = Math.max(setBits, this.#setBitsMost)
  }

  /** Writes, reads bits, and then reads the proof that nothing was lost; throws if it does not hold. */
  async #prove(writes: readonly Command[], positions: readonly number[], msMax: number): Promise<Reading> {
    const verification = this.#verification
    if (!verification) throw this.#unverified(notYet)
    const commands = [...writes, ...readCommands(this.#place, verification.sentinel, positions)]
    const reading = readingOf(await this.#run(commands, msMax))
    const fault = faultOf(reading, { verification, bits: this.#place.bits, sentinel: true })
    if (fault !== undefined) {
      // An answer to what was asked before another verification says nothing about that one.
      if (verification === this.#verification) this.#turn({ kind: 'unverified', why: fault })
      throw this.#unverified(fault)
    }
    if (verification === this.#verification) this.#turn({ kind: 'verified' })
    return reading
  }

  async #run(commands: readonly Command[], msMax: number): Promise<unknown[]> {
    if (!this.#link) throw new BitmapUnavailable('away', 'the connection to Redis is not open yet')
    try {
      const answers = await this.#link.run(commands, msMax)
      this.#writer.check(commands, answers)
      return answers
    } catch (error) {
      if (error instanceof BitmapUnavailable) {
        this.#report.unavailable(error.reason)
        if (error.reason !== 'closed') this.#turn({ kind: 'away', why: error.message })
      }
      throw error
    }
  }

  /** Looks whether it still counts, also while nobody asks. One look at a time. */
  #look(): void {
    if (!this.#link || this.#looking) return
    // What a look finds is said by `#turn`; whoever asks is told by his own question.
    this.#looking = this.#see()
      .catch(() => undefined)
      .finally(() => {
        this.#looking = undefined
      })
  }

  async #see(): Promise<void> {
    if (this.#verification) await this.#prove([], [], this.#askMsMax)
    else {
      await this.#run([['PING']], this.#askMsMax)
      // Somebody may have verified it while the answer was on its way.
      if (!this.#verification) this.#turn({ kind: 'unverified', why: notYet })
    }
  }

  #unverified(why: string): BitmapUnavailable {
    this.#report.unavailable('unverified')
    return new BitmapUnavailable('unverified', `the bitmap does not count: ${why}`)
  }

  #turn(next: BitmapState): void {
    if (this.#closed) return
    const same = next.kind === this.state.kind
    if (next.kind === 'away') {
      // Every attempt to connect fails in its own words; an outage is said once.
      if (same) return
      this.#report.away(next.why)
    } else if (next.kind === 'unverified') {
      if (this.state.kind === 'unverified' && this.state.why === next.why) return
      this.#report.unverified(next.why)
    } else {
      if (same) return
      this.#report.verified()
    }
    this.state = next
    this.#changed(next)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true
    clearInterval(this.#timer)
    await this.#link?.[Symbol.asyncDispose]()
    await this.#looking
  }
}
