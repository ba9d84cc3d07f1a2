import { setTimeout as delay } from 'node:timers/promises'
import type { Logger } from 'pino'
import type { Registry } from 'prom-client'
import type { NameStore } from './name-store.ts'
import { openRedisBitmap, type RedisBitmap } from './redis-bitmap.ts'
import { BitmapUnavailable } from './redis-link.ts'
import type { BitmapStats } from './redis-stats.ts'

export interface BitmapSettings {
  readonly url: string
  /** Key of the bits in Redis. */
  readonly key: string
  readonly bits: number
  /** Positions of each name. */
  readonly hashes: number
}

const limits = {
  /** A name that was added before a rebuild began is in the database after this, or never. */
  settledMs: 10_000,
  againMs: 2_000,
  /** Bits that became fewer are noticed by counting them. */
  countMs: 60_000,
  pageKeys: 5_000,
} as const

interface SharedBitmapNeeds {
  readonly settings: BitmapSettings
  readonly store: NameStore
  readonly log: Logger
  readonly metrics: Registry
}

/**
 * A bitmap in Redis that other programs read and add to. A bit that is missing there proves nothing alone: a name is free
 * when neither the filter of this process nor the bitmap has it, so that the filter goes on where Redis is away, and a
 * name that another program has added is looked up. Bits are set before a row is committed, as far as Redis is there;
 * where it has lost some, all names are added again.
 */
export interface SharedBitmap extends AsyncDisposable {
  /** For each key: true, maybe. False where Redis is away, too. */
  has(keys: readonly string[]): Promise<readonly boolean[]>
  /** Sets the bits if Redis is there. */
  add(keys: readonly string[]): Promise<void>
  /** Rejects with BitmapUnavailable. */
  stats(): Promise<BitmapStats>
  readonly isVerified: boolean
}

/** Opens the bitmap and keeps it whole; Redis need not be there. Throws for sizes or an address that cannot be. */
export async function openSharedBitmap({
  settings,
  store,
  log,
  metrics,
}: SharedBitmapNeeds): Promise<SharedBitmap> {
  const closed = new AbortController()
  const bitmap = await openRedisBitmap({ ...settings, log, metrics })
  const kept = keep({ bitmap, store, log, signal: closed.signal })
  const unlessAway = async <T>(asked: Promise<T>, otherwise: T): Promise<T> => {
    try {
      return await asked
    } catch (error) {
      if (!(error instanceof BitmapUnavailable)) throw error
      return otherwise
    }
  }
  return {
    get isVerified() {
      return bitmap.state.kind === 'verified'
    },
    has: (keys) =>
      unlessAway(
        bitmap.has(keys),
        keys.map(() => false),
      ),
    add: (keys) => unlessAway(bitmap.add(keys), undefined),
    stats: () => bitmap.stats(),
    [Symbol.asyncDispose]: async () => {
      closed.abort()
      await kept
      await bitmap[Symbol.asyncDispose]()
    },
  }
}

interface Keeping {
  readonly bitmap: RedisBitmap
  readonly store: NameStore
  readonly log: Logger
  readonly signal: AbortSignal
}

async function keep(from: Keeping): Promise<void> {
  const { bitmap, log, signal } = from
  let countedAt = 0
  while (!signal.aborted) {
    try {
      if (bitmap.state.kind === 'unverified') await verify(from)
      else if (bitmap.state.kind === 'verified' && performance.now() - countedAt > limits.countMs) {
        countedAt = performance.now()
        await bitmap.stats()
      }
    } catch (error) {
      if (!(error instanceof BitmapUnavailable))
        log.warn({ err: error }, 'the bitmap of names in Redis could not be filled; it is tried again')
    }
    await delay(limits.againMs, undefined, { signal }).catch(() => {})
  }
}

/** Takes over what another server has verified; where Redis does not prove that any more, adds every name again. */
async function verify({ bitmap, store, log, signal }: Keeping): Promise<void> {
  const known = await store.bitmapProof()
  if (known && (await bitmap.adopt(known)).kind === 'verified') return
  const rebuild = await bitmap.begin()
  await delay(limits.settledMs, undefined, { signal })
  let names = 0
  for (let after = ''; !signal.aborted; ) {
    const keys = await store.keysAfter(after, limits.pageKeys)
    await rebuild.add(keys)
    names += keys.length
    const last = keys.at(-1)
    if (last === undefined || keys.length < limits.pageKeys) break
    after = last
  }
  if (signal.aborted) return
  await store.setBitmapProof(await rebuild.verify())
  log.info({ names }, 'every name was added to the bitmap in Redis')
}
