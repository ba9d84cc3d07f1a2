import { join } from 'node:path'
import type { EventLog } from '@pulse/log'
import type { NameCheck, NameStats } from '@pulse/protocol/name'
import type pg from 'pg'
import type { Logger } from 'pino'
import type { Registry } from 'prom-client'
import { ConfigError } from '../config/config.ts'
import type { Http } from '../http/http.ts'
import { createBudgets, type NameRates } from './budgets.ts'
import { Checks } from './checks.ts'
import { type ClaimOutcome, Claims } from './claims.ts'
import { namesTopic } from './hash-records.ts'
import { Lease } from './lease.ts'
import { type NameRules, openNameRules } from './name-rules.ts'
import type { NameSet } from './name-set.ts'
import { createNameStore, type NameStore } from './name-store.ts'
import type { NameProfile } from './normal-form.ts'
import { createNames, measuredLately } from './offer.ts'
import { Replica } from './replica.ts'
import { createNamesReport, type NameCounts } from './report.ts'
import { seedNames } from './seeding.ts'
import type { BitmapSettings, SharedBitmap } from './shared-bitmap.ts'
import { checkUnicode } from './unicode-version.ts'

export { namesTopic } from './hash-records.ts'

export interface NamesNeeds {
  readonly log: EventLog
  readonly pool: pg.Pool
  readonly connection: () => pg.ClientConfig
  /** Folder of the server's data; the filter is kept there between two starts. */
  readonly data: string
  readonly settings: {
    readonly profile: NameProfile
    /** Names that the filter is made for at least. */
    readonly expected: number
    /** File of the team's own rules, if any. */
    readonly rulesFile: string | undefined
    /** File with names to take over at the start. */
    readonly seedFile: string
    readonly rates: NameRates
    /** A bitmap in Redis that is asked and filled as well. */
    readonly bitmap: BitmapSettings | undefined
  }
  /** First words of this server's own addresses, which nobody may be called. */
  readonly routeWords: readonly string[]
  readonly logger: Logger
  readonly metrics: Registry
}

/** What became of many names at once. */
export interface ImportResult {
  readonly added: number
  readonly present: number
  /** With the place of each among the names that were given. */
  readonly refused: readonly { readonly index: number; readonly username: string; readonly reason: string }[]
}

export interface ClaimFrom {
  readonly username: string
  readonly owner: string | undefined
  readonly claimedBy: string
  readonly idempotencyKey: string | undefined
}

/** Which names are free, and taking them. Methods reject with ProblemError: `invalid_name`, `unavailable`. */
export interface Names extends AsyncDisposable {
  /** Whether a name is free: in the same tick where memory can tell. */
  check(username: string): NameCheck | Promise<NameCheck>
  checkAll(usernames: readonly string[]): Promise<readonly (NameCheck & { reason?: string })[]>
  /** Takes a name; `taken` for one that somebody has or that is kept back. Rejects with ClaimFailed too. */
  claim(from: ClaimFrom): Promise<ClaimOutcome>
  claimAll(usernames: readonly string[], by: string): Promise<ImportResult>
  /** Lets go of a name; false if nobody had it. */
  release(username: string): Promise<boolean>
  /** Free names near this one, at most so many; asks memory only. Rejects with `unavailable` while memory cannot tell. */
  suggest(username: string, count: number): readonly string[]
  stats(): NameStats
  /** What this process was asked since its start. */
  counts(): NameCounts
  /** Makes a new filter from the database; resolves when it has taken over or was given up. */
  rebuild(): Promise<void>
  /** Registers the routes; disposing of what it gives ends the sockets. */
  routes(http: Http): AsyncDisposable
}

/**
 * Opens names: the filter loads and follows beside everything else, and until it is there the database answers. Rejects
 * with ConfigError where the profile is not that of the names there are, or the rules cannot be read.
 */
export async function openNames(needs: NamesNeeds): Promise<Names> {
  await using opened = new AsyncDisposableStack()
  const { profile } = needs.settings
  const store = createNameStore(needs.pool)
  const { set, rules } = await openGround(needs, store)
  opened.use(rules)
  const { replica, lease, report, measured } = createMember(needs, { store, set })
  const shared = await openBitmap(needs, store)
  if (shared) opened.use(shared)
  const checks = new Checks({
    ...{ profile, rules, store, report, shared },
    isCertain: () => lease.holds(),
    has: (key) => replica.has(key),
  })
  const claims = new Claims({ log: needs.log, store, replica, lease, shared })
  replica.start()
  opened.defer(() => replica.close())
  lease.start()
  opened.defer(() => lease.close())
  const budgets = createBudgets(needs.settings.rates, report)
  const names = createNames({
    profile,
    store,
    rules,
    replica,
    lease,
    checks,
    claims,
    budgets,
    report,
    measured,
  })
  const seeding = seedNames({ path: needs.settings.seedFile, names, report })
  opened.defer(() => seeding[Symbol.asyncDispose]())
  const parts = opened.move()
  return { ...names, [Symbol.asyncDispose]: () => parts.disposeAsync() }
}

/** What names stand on, all at once: the server does not answer before it is there. Rejects with what has failed. */
async function openGround(needs: NamesNeeds, store: NameStore): Promise<{ set: NameSet; rules: NameRules }> {
  const { profile, rulesFile: path } = needs.settings
  const { routeWords, logger, metrics } = needs
  const [set, topic, rules] = await Promise.allSettled([
    bindTo(store, profile),
    declareTopic(needs.log),
    openNameRules({ path, routeWords, profile, logger, metrics }),
  ])
  if (set.status === 'fulfilled' && topic.status === 'fulfilled' && rules.status === 'fulfilled')
    return { set: set.value, rules: rules.value }
  if (rules.status === 'fulfilled') await rules.value[Symbol.asyncDispose]()
  throw [set, topic, rules].find((each) => each.status === 'rejected')?.reason
}

/** Loaded only where it is used: the client of Redis takes longer to load than everything else of names. */
async function openBitmap(
  { settings, logger, metrics }: NamesNeeds,
  store: NameStore,
): Promise<SharedBitmap | undefined> {
  if (!settings.bitmap) return undefined
  const { openSharedBitmap } = await import('./shared-bitmap.ts')
  return await openSharedBitmap({ settings: settings.bitmap, store, log: logger, metrics })
}

/** The set of names. Throws ConfigError where another profile, or another Unicode, would make other keys. */
async function bindTo(store: NameStore, profile: NameProfile): Promise<NameSet> {
  const bound = await store.bind(profile)
  if ('boundTo' in bound) throw profileChanged(bound.boundTo, profile)
  await checkUnicode(store, { profile, stored: bound.unicode, version: process.versions.unicode ?? '' })
  return bound
}

/** The filter of this process and its lease, which need each other. */
function createMember(needs: NamesNeeds, { store, set }: { store: NameStore; set: NameSet }) {
  const { log, settings } = needs
  const report = createNamesReport({
    ...{ log: needs.logger, metrics: needs.metrics },
    observed: {
      generation: () => replica.generation,
      isCertain: () => lease.holds(),
      lag: () => Math.max(0, lease.wanted - replica.applied.offset),
      falsePositiveRate: () => measured(),
    },
  })
  const replica: Replica = new Replica({
    ...{ log, store, profile: settings.profile, expected: settings.expected, report },
    ...{ set: set.id, database: set.database },
    path: join(needs.data, 'names', 'filter'),
    moved: () => lease.moved(),
  })
  const lease: Lease = new Lease({
    connection: needs.connection,
    applied: () => replica.applied,
    end: async () => {
      const { epoch, partitions } = await log.bounds(namesTopic.name)
      return { epoch, offset: partitions[0]?.end ?? 0 }
    },
    follows: () => replica.follows,
    changed: (holds) => report.leaseChanged(holds),
    profile: settings.profile,
    heard: () => replica.doubt(),
    connected: (database) => replica.follow(database),
  })
  const measured = measuredLately(replica)
  return { replica, lease, report, measured }
}

/** One partition, so that one offset says how far; whoever made the topic with more has to make it again. */
async function declareTopic(log: EventLog): Promise<void> {
  await log.declare([namesTopic])
  const { partitions } = await log.bounds(namesTopic.name)
  if (partitions.length === namesTopic.partitions) return
  const message = `the topic ${namesTopic.name} has ${partitions.length} partitions and must have one; delete it, and it is made anew`
  throw new ConfigError([{ setting: 'LOG_DRIVER', message }])
}

function profileChanged(before: string, now: string): ConfigError {
  return new ConfigError([
    {
      setting: 'NAMES_PROFILE',
      message: `the names in the database were made with ${before}, and ${now} would not find them; set it back`,
    },
  ])
}
