import { join } from 'node:path'
import type { EventLog } from '@pulse/log'
import type { NameCheck, NameStats } from '@pulse/protocol/name'
import type pg from 'pg'
import type { Logger } from 'pino'
import type { Registry } from 'prom-client'
import { ConfigError } from '../config/config.ts'
import { unlessAway } from '../database/unless-away.ts'
import type { Http } from '../http/http.ts'
import { type Budgets, createBudgets, type NameRates } from './budgets.ts'
import { Checks } from './checks.ts'
import { type ClaimOutcome, Claims } from './claims.ts'
import { namesTopic } from './hash-records.ts'
import { Lease } from './lease.ts'
import { nameRoutes } from './name-routes.ts'
import { type NameRules, openNameRules } from './name-rules.ts'
import { nameSocketRoute } from './name-socket.ts'
import { createNameStore, type NamedKey, type NameStore } from './name-store.ts'
import type { NameProfile } from './normal-form.ts'
import { Replica } from './replica.ts'
import { createNamesReport, type NamesReport } from './report.ts'
import { seedNames } from './seeding.ts'
import { type BitmapSettings, openSharedBitmap } from './shared-bitmap.ts'
import { candidates } from './suggestions.ts'

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
  readonly refused: readonly { readonly username: string; readonly reason: string }[]
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
  /** Makes a new filter from the database; resolves when it has taken over or was given up. */
  rebuild(): Promise<void>
  /** Registers the routes. */
  routes(http: Http): void
}

/** Of a thousand candidates, which take less than a millisecond. */
const candidatesMax = 1_000
/** Longer names are nobody's wish. */
const suggestedCharsMax = 64
/** Measuring takes a few milliseconds, so the figure is kept for a while. */
const measuredMs = 10_000

/**
 * Opens names: the filter loads and follows beside everything else, and until it is there the database answers. Rejects
 * with ConfigError where the profile is not that of the names there are, or the rules cannot be read.
 */
export async function openNames(needs: NamesNeeds): Promise<Names> {
  await using opened = new AsyncDisposableStack()
  const { profile } = needs.settings
  const store = createNameStore(needs.pool)
  const bound = await store.bind(profile)
  if ('boundTo' in bound) throw profileChanged(bound.boundTo, profile)
  await needs.log.declare([namesTopic])
  const rules = opened.use(
    await openNameRules({
      ...{ path: needs.settings.rulesFile, routeWords: needs.routeWords, profile, logger: needs.logger },
    }),
  )
  const report = createNamesReport({
    ...{ log: needs.logger, metrics: needs.metrics },
    observed: { generation: () => replica.generation, isCertain: () => lease.holds() },
  })
  const replica: Replica = new Replica({
    ...{ log: needs.log, store, set: bound.id, profile, report },
    expected: needs.settings.expected,
    path: join(needs.data, 'names', 'filter'),
    moved: () => lease.moved(),
  })
  const lease: Lease = new Lease({
    connection: needs.connection,
    applied: () => replica.applied,
    end: async () => (await needs.log.bounds(namesTopic.name)).partitions[0]?.end ?? 0,
    follows: () => replica.follows,
    changed: (holds) => report.leaseChanged(holds),
  })
  const { bitmap } = needs.settings
  const shared =
    bitmap &&
    opened.use(await openSharedBitmap({ settings: bitmap, store, log: needs.logger, metrics: needs.metrics }))
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
  const sockets = opened.use(new AsyncDisposableStack())
  const names = createNames({
    profile,
    store,
    rules,
    replica,
    lease,
    checks,
    claims,
    budgets,
    sockets,
    report,
  })
  const seeding = seedNames({ path: needs.settings.seedFile, names, report })
  opened.defer(() => seeding[Symbol.asyncDispose]())
  const parts = opened.move()
  return { ...names, [Symbol.asyncDispose]: () => parts.disposeAsync() }
}

function profileChanged(before: string, now: string): ConfigError {
  return new ConfigError([
    {
      setting: 'NAMES_PROFILE',
      message: `the names in the database were made with ${before}, and ${now} would not find them; set it back`,
    },
  ])
}

interface Parts {
  readonly profile: NameProfile
  readonly store: NameStore
  readonly replica: Replica
  readonly lease: Lease
  readonly rules: NameRules
  readonly checks: Checks
  readonly claims: Claims
  readonly budgets: Budgets
  readonly sockets: AsyncDisposableStack
  readonly report: NamesReport
}

function createNames(parts: Parts): Omit<Names, typeof Symbol.asyncDispose> {
  const { checks, claims, store, replica, report } = parts
  let measured = { atMs: Number.NEGATIVE_INFINITY, rate: undefined as number | undefined }
  const names: Omit<Names, typeof Symbol.asyncDispose> = {
    check: (username) => checks.check(username),
    checkAll: async (usernames) => {
      const read = usernames.map((username) => readOrReason(checks, username))
      const answers = await checks.checkAll(read.flatMap((each) => ('reason' in each ? [] : [each])))
      let next = 0
      return read.map((each) =>
        'reason' in each ? { available: false, ...each } : (answers[next++] as NameCheck),
      )
    },
    claim: async ({ username, owner = null, claimedBy, idempotencyKey }) => {
      const started = performance.now()
      const asked = checks.read(username)
      if (asked.refused) return { kind: 'taken' }
      try {
        const { key, username: name } = asked
        const outcome = await unlessAway(claims.claim({ key, name, owner, claimedBy, idempotencyKey }))
        report.claimed(outcome.kind, performance.now() - started)
        return outcome
      } catch (error) {
        report.claimed('failed', performance.now() - started)
        throw error
      }
    },
    claimAll: (usernames, by) => claimAll(parts, usernames, by),
    release: (username) => unlessAway(store.release(checks.read(username).key)),
    suggest: (username, count) => suggest(parts, username, count),
    stats: () => {
      if (measured.rate === undefined || performance.now() - measured.atMs > measuredMs)
        measured = { atMs: performance.now(), rate: replica.measuredRate() }
      return statsOf(parts, measured.rate)
    },
    rebuild: () => replica.rebuild(),
    routes: (http) => {
      const { budgets, lease, sockets } = parts
      nameRoutes(http, { names, canSuggest: () => lease.holds(), budgets })
      sockets.use(nameSocketRoute(http, { names, budgets }))
    },
  }
  return names
}

function readOrReason(checks: Checks, username: string) {
  try {
    return checks.read(username)
  } catch (error) {
    return { username: username.trim(), reason: (error as Error).message }
  }
}

async function claimAll(
  { checks, claims, report }: Parts,
  usernames: readonly string[],
  by: string,
): Promise<ImportResult> {
  const rows = new Map<string, NamedKey>()
  const refused: { username: string; reason: string }[] = []
  for (const username of usernames) {
    const read = readOrReason(checks, username)
    if ('reason' in read) refused.push(read)
    else if (read.refused) refused.push({ username: read.username, reason: 'The name is kept back.' })
    else if (!rows.has(read.key)) rows.set(read.key, { key: read.key, name: read.username })
  }
  const added = await unlessAway(claims.claimAll([...rows.values()], by))
  const present = usernames.length - refused.length - added
  report.imported(added, present, refused.length)
  return { added, present, refused }
}

function suggest({ checks, profile, rules }: Parts, username: string, count: number): readonly string[] {
  const found: string[] = []
  let tried = 0
  for (const candidate of candidates(username, profile, {
    lengthMax: Math.min(suggestedCharsMax, rules.length.max),
  })) {
    if (found.length === count || tried++ === candidatesMax) break
    const read = readOrReason(checks, candidate)
    if (!('reason' in read) && checks.isSurelyFree(read)) found.push(candidate)
  }
  return found
}

function statsOf({ profile, replica, lease }: Parts, measured: number | undefined): NameStats {
  const generation = replica.generation
  return {
    profile,
    certain: lease.holds(),
    generation: generation?.number ?? 0,
    rebuilding: replica.rebuilding,
    names_estimated: generation?.namesEstimated ?? 0,
    capacity: generation?.capacity ?? 0,
    fill: generation?.fill ?? 0,
    bits: generation?.bits ?? 0,
    bits_set_ratio: generation ? generation.bitsSet / generation.bits : 0,
    false_positive_rate: { expected: generation?.expectedRate() ?? 0, measured: measured ?? null },
    lag: Math.max(0, lease.wanted - replica.applied),
    servers: lease.others + Number(lease.holds()),
  }
}
