import { setImmediate as turn } from 'node:timers/promises'
import type { NameCheck, NameStats } from '@pulse/protocol/name'
import { unlessAway } from '../database/unless-away.ts'
import { ProblemError } from '../http/problem-error.ts'
import type { Budgets } from './budgets.ts'
import type { Checks } from './checks.ts'
import type { ClaimOutcome, Claims } from './claims.ts'
import type { Lease } from './lease.ts'
import { nameRoutes } from './name-routes.ts'
import type { NameRules } from './name-rules.ts'
import { nameSocketRoute } from './name-socket.ts'
import type { NamedKey, NameStore } from './name-store.ts'
import type { ClaimFrom, ImportResult, Names } from './names.ts'
import type { NameProfile } from './normal-form.ts'
import type { Replica } from './replica.ts'
import type { NamesReport } from './report.ts'
import { candidates } from './suggestions.ts'

/** Of a thousand candidates, which take less than a millisecond. */
const candidatesMax = 1_000
/** Names of a list that are judged between two turns of the event loop: about 2 ms. */
const namesPerTurn = 2_000
/** Longer names are nobody's wish. */
const suggestedCharsMax = 64
/** Measuring takes a few milliseconds, so the figure is kept for a while. */
const measuredMs = 10_000

/** What the offer is made of. */
export interface Parts {
  readonly profile: NameProfile
  readonly store: NameStore
  readonly replica: Replica
  readonly lease: Lease
  readonly rules: NameRules
  readonly checks: Checks
  readonly claims: Claims
  readonly budgets: Budgets
  readonly report: NamesReport
  readonly measured: () => number | undefined
}

/** Makes everything that names offer of its parts. */
export function createNames(parts: Parts): Omit<Names, typeof Symbol.asyncDispose> {
  const { checks, store, replica, report } = parts
  const names: Omit<Names, typeof Symbol.asyncDispose> = {
    check: (username) => checks.check(username),
    checkAll: async (usernames) => {
      const read = usernames.map((username) => readOrReason(checks, username))
      const answers = await checks.checkAll(read.flatMap((each) => ('reason' in each ? [] : [each])))
      let next = 0
      return read.map((each) => {
        if (!('reason' in each)) return answers[next++] as NameCheck
        report.checked('refused')
        return { available: false, ...each }
      })
    },
    claim: (from) => claim(parts, from),
    claimAll: (usernames, by) => claimAll(parts, usernames, by),
    release: async (username) => {
      const was = await unlessAway(store.release(checks.keyOf(username)))
      if (was) report.released()
      return was
    },
    suggest: (username, count) => suggest(parts, username, count),
    stats: () => statsOf(parts),
    counts: () => report.counts(),
    rebuild: () => replica.rebuild(),
    routes: (http) => {
      const { budgets, lease } = parts
      nameRoutes(http, { names, canSuggest: () => lease.holds(), budgets })
      return nameSocketRoute(http, { names, budgets })
    },
  }
  return names
}

/** The rate of false positives, measured at most every ten seconds. */
export function measuredLately(replica: Replica): () => number | undefined {
  let last = { atMs: Number.NEGATIVE_INFINITY, rate: undefined as number | undefined }
  return () => {
    if (last.rate === undefined || performance.now() - last.atMs > measuredMs)
      last = { atMs: performance.now(), rate: replica.measuredRate() }
    return last.rate
  }
}

function readOrReason(checks: Checks, username: string) {
  try {
    return checks.read(username)
  } catch (error) {
    return { username: username.trim(), reason: (error as Error).message }
  }
}

async function claim({ checks, claims, report }: Parts, from: ClaimFrom): Promise<ClaimOutcome> {
  const started = performance.now()
  const said = (outcome: Parameters<NamesReport['claimed']>[0]) =>
    report.claimed(outcome, performance.now() - started)
  try {
    const { key, username: name, refused } = checks.read(from.username)
    if (refused) {
      said('refused')
      return { kind: 'taken' }
    }
    const { owner = null, claimedBy, idempotencyKey } = from
    const outcome = await unlessAway(claims.claim({ key, name, owner, claimedBy, idempotencyKey }))
    said(outcome.kind)
    return outcome
  } catch (error) {
    said(error instanceof ProblemError && error.code === 'invalid_name' ? 'refused' : 'failed')
    throw error
  }
}

async function claimAll(
  { checks, claims, report }: Parts,
  usernames: readonly string[],
  by: string,
): Promise<ImportResult> {
  const rows = new Map<string, NamedKey>()
  const refused: { index: number; username: string; reason: string }[] = []
  for (const [index, given] of usernames.entries()) {
    // A beat of the lease must not wait for a long list.
    if (index % namesPerTurn === namesPerTurn - 1) await turn()
    const read = readOrReason(checks, given)
    const { username } = read
    if ('reason' in read) refused.push({ index, username, reason: read.reason })
    else if (read.refused) refused.push({ index, username, reason: 'The name is kept back.' })
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

function statsOf({ profile, replica, lease, measured }: Parts): NameStats {
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
    false_positive_rate: { expected: generation?.expectedRate() ?? 0, measured: measured() ?? null },
    lag: Math.max(0, lease.wanted - replica.applied.offset),
    servers: lease.others + Number(lease.holds()),
  }
}
