import type { EventLog, LogRecord } from '@pulse/log'
import { isControl } from '@pulse/log/control-record'
import type { Condition } from '@pulse/protocol/filter'
import type pg from 'pg'
import type { Logger } from 'pino'
import type { Registry } from 'prom-client'
import type { Http } from '../http/http.ts'
import { ProblemError } from '../http/problem-error.ts'
import { compile } from './compiling.ts'
import { FilterChanges } from './filter-changes.ts'
import { storedFilterRoutes } from './filter-routes.ts'
import { FilterStore } from './filter-store.ts'
import { FilterTrials } from './filter-trial.ts'
import { type FilterChange, type FilterVersion, FilterVersions } from './filter-versions.ts'
import { createSubscriptionsReport, type SubscriptionsReport } from './report.ts'
import type { Tree } from './tree.ts'
import { trialRoute } from './trial-route.ts'

export { treeOf } from './condition.ts'
export type { FilterChange, FilterVersion } from './filter-versions.ts'

export const subscriptionLimits = {
  /** Whoever listens is matched against all filters of one subscriber. */
  perSubscriberMax: 100,
  sweepMs: 2_000,
  /** Looks at what the log has forgotten, and counts, are this many sweeps apart. */
  sweepsPerPrune: 30,
} as const

export interface SubscriptionsNeeds {
  readonly log: EventLog
  readonly pool: pg.Pool
  /** Every topic of the log. */
  readonly topics: readonly string[]
  readonly settings: {
    /** Stored filters that may be asked of every event. */
    readonly unselectiveMax: number
  }
  readonly metrics: Registry
  readonly logger: Logger
  /** How often changes that are not known are looked for; default 2 s. */
  readonly sweepMs?: number
}

/** Filters of subscribers: what they ask for, and from which place in the log on. */
export interface Subscriptions extends AsyncDisposable {
  /**
   * Every version of a subscriber's filters that may still apply somewhere in the log. Whoever takes a place in the log
   * first, then asks, and then follows the log from that place, misses no change. Waits up to 5 s for a change that is
   * being made known. Throws ProblemError `unavailable`.
   */
  versions(subscriber: string): Promise<readonly FilterVersion[]>
  /** Whether a record is for servers only: nobody receives it. */
  isControl(record: LogRecord): boolean
  /** The changes that a control record tells of, in order: they apply from its offset on in its partition. Rejects while the database is away. */
  changesOf(record: LogRecord): Promise<readonly FilterChange[]>
  /** The filter of one connection. Throws ProblemError `invalid_filter`, `filter_too_wide`. */
  compile(condition: Condition): Tree
  routes(http: Http): void
}

/**
 * Starts looking after filters: changes that a server left unknown are made known. Rejects with LogError
 * `unavailable`. Disposing waits for the changes under way.
 */
export async function openSubscriptions(needs: SubscriptionsNeeds): Promise<Subscriptions> {
  const { log, pool, topics, settings } = needs
  const report = createSubscriptionsReport({ log: needs.logger, metrics: needs.metrics })
  const store = new FilterStore(pool, { perSubscriberMax: subscriptionLimits.perSubscriberMax, ...settings })
  const changes = await FilterChanges.open({ store, log, topics, report })
  const versions = new FilterVersions({ store, changes, can: log.can })
  const trials = new FilterTrials({ log, topics })
  const care = lookAfter({ store, changes, report, everyMs: needs.sweepMs ?? subscriptionLimits.sweepMs })
  return {
    versions: (subscriber) => versions.of(subscriber),
    isControl,
    changesOf: (record) => versions.announcedBy(record),
    compile: (condition) => {
      const { tree, cost } = compile(condition)
      if (!cost.selective && settings.unselectiveMax === 0)
        throw new ProblemError('filter_too_wide', cost.reason)
      return tree
    },
    routes: (http) => {
      storedFilterRoutes(http, { store, changes, report })
      trialRoute(http, { store, trials, ...settings })
    },
    [Symbol.asyncDispose]: async () => {
      await care[Symbol.asyncDispose]()
      await changes[Symbol.asyncDispose]()
    },
  }
}

/**
 * Checks a condition that is kept elsewhere, such as in a token. `at`: JSON Pointer of where it stands in the request.
 * Throws ProblemError `invalid_filter`, `filter_too_wide`.
 */
export function checkCondition(condition: Condition, at: string): void {
  compile(condition, at)
}

/** Sweeps at once and then regularly; now and then also forgets and counts. */
function lookAfter(needs: {
  store: FilterStore
  changes: FilterChanges
  report: SubscriptionsReport
  everyMs: number
}): AsyncDisposable {
  const { store, changes, report } = needs
  let sweeps = 0
  let running: Promise<void> | undefined
  const once = async () => {
    await changes.look()
    const swept = await changes.sweep()
    if (sweeps++ % subscriptionLimits.sweepsPerPrune === 0) report.forgotten(await changes.prune())
    else if (swept === 0 && !report.countsAreStale()) return
    report.counted(await store.counts())
  }
  const sweep = () => {
    running ??= once()
      .catch(report.sweepFailed)
      .finally(() => {
        running = undefined
      })
  }
  sweep()
  const timer = setInterval(sweep, needs.everyMs)
  timer.unref()
  return {
    [Symbol.asyncDispose]: async () => {
      clearInterval(timer)
      await running
    },
  }
}
