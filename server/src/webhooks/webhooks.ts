import { randomUUID } from 'node:crypto'
import type { EventLog } from '@pulse/log'
import type { Condition } from '@pulse/protocol/filter'
import type pg from 'pg'
import type { Logger } from 'pino'
import type { Registry } from 'prom-client'
import type { Http } from '../http/http.ts'
import type { Tree } from '../subscriptions/tree.ts'
import type { Resolve } from './addresses.ts'
import { createWebhookReport, type WebhookReport } from './report.ts'
import { createSender, type Sender } from './sender.ts'
import { webhookRoutes } from './webhook-routes.ts'
import { WebhookLeases, type WebhookRow, WebhookStore, webhooksWithWaiting } from './webhook-store.ts'
import { Worker, type WorkersNeeds } from './worker.ts'

/** Webhooks of one subscriber. */
export const webhooksPerSubscriberMax = 20

const limits = {
  /** A webhook of a server that fell silent is taken over after this and one more turn. */
  leaseMs: 6_000,
  /** What nobody has confirmed for so long is called off before somebody else may begin. */
  leaseMarginMs: 1_000,
  turnMs: 2_000,
  claimMax: 100,
  /** Turns between two counts. */
  turnsPerCount: 5,
  /** A stop waits so long for answers that are on their way. */
  stopMs: 3_000,
} as const

export interface WebhookSettings {
  /** Sends to addresses that are not of the public internet. */
  readonly allowPrivate: boolean
  readonly attemptsMax: number
  readonly retryBaseMs: number
  readonly retryMaxMs: number
  readonly timeoutMs: number
  /** Requests at a time to one receiver. */
  readonly concurrency: number
}

export interface WebhooksNeeds extends Pick<WorkersNeeds, 'delivery' | 'pool' | 'keyOf'> {
  readonly pool: pg.Pool
  readonly log: Pick<EventLog, 'bounds'>
  /** Every topic of the log. */
  readonly topics: readonly string[]
  /** The tree of a filter. Throws ProblemError `invalid_filter`, `filter_too_wide`. */
  readonly compile: (condition: Condition) => Tree
  readonly settings: WebhookSettings
  readonly version: string
  readonly metrics: Registry
  readonly logger: Logger
  /** How names become addresses; default: the system's way. */
  readonly resolve?: Resolve
}

/** Webhooks: addresses that events are sent to, each by one server at a time. */
export interface Webhooks extends AsyncDisposable {
  routes(http: Http): void
}

/** Starts to deliver what is nobody's. Disposing lets go of what is held, so that another server takes it at once. */
export function openWebhooks(needs: WebhooksNeeds): Webhooks {
  const report = createWebhookReport({ log: needs.logger, metrics: needs.metrics })
  const { allowPrivate, timeoutMs } = needs.settings
  const sender = createSender({ ...needs, allowPrivate, timeoutMs })
  const store = new WebhookStore(needs.pool, { perSubscriberMax: webhooksPerSubscriberMax })
  const holder = new Holder({ ...needs, store, sender, report })
  holder.start()
  return {
    routes: (http) => {
      const { log, topics, compile } = needs
      const changed = () => holder.look()
      webhookRoutes(http, { store, sender, report, log, topics, compile, allowPrivate, changed })
    },
    [Symbol.asyncDispose]: async () => {
      await holder[Symbol.asyncDispose]()
      sender[Symbol.dispose]()
    },
  }
}

interface HolderNeeds extends Pick<WorkersNeeds, 'delivery' | 'pool' | 'keyOf'> {
  readonly settings: WebhookSettings
  readonly store: WebhookStore
  readonly sender: Sender
  readonly report: WebhookReport
}

/** Holds the leases of this server: each turn it confirms them, lets go of what changed, and takes what is nobody's. */
class Holder implements AsyncDisposable {
  readonly #needs: HolderNeeds
  readonly #leases: WebhookLeases
  readonly #workers = new Map<string, Worker>()
  readonly #stopping = new Set<Promise<void>>()
  #timer: NodeJS.Timeout | undefined
  /** Ends what is held when nothing was confirmed for too long. */
  #expiry: NodeJS.Timeout | undefined
  #turning: Promise<void> | undefined
  #again = false
  #turns = 0
  #isOver = false

  constructor(needs: HolderNeeds) {
    this.#needs = needs
    const { leaseMs } = limits
    this.#leases = new WebhookLeases(needs.pool, { owner: randomUUID(), leaseMs })
  }

  start(): void {
    this.#timer = setInterval(() => this.look(), limits.turnMs)
    this.#timer.unref()
    this.look()
  }

  /** Takes a turn now, or another one after the one that runs. */
  look(): void {
    if (this.#isOver) return
    if (this.#turning) {
      this.#again = true
      return
    }
    this.#again = false
    this.#turning = this.#turn()
      .catch((error: unknown) => this.#needs.report.troubled(undefined, error))
      .finally(() => {
        this.#turning = undefined
        if (this.#again) this.look()
      })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isOver = true
    clearInterval(this.#timer)
    await this.#turning
    for (const worker of this.#workers.values()) this.#letGo(worker, limits.stopMs)
    await Promise.all(this.#stopping)
    clearTimeout(this.#expiry)
  }

  async #turn(): Promise<void> {
    const askedAt = performance.now()
    this.#compare(await this.#leases.renew())
    this.#confirmed(askedAt)
    if (this.#isOver) return
    const claimed = await this.#leases.claim(limits.claimMax)
    for (const row of claimed) this.#take(row)
    if (claimed.length === limits.claimMax) this.#again = true
    const waiting = await webhooksWithWaiting(this.#needs.pool)
    for (const worker of this.#workers.values())
      if (waiting.has(worker.row.id)) await worker.lookForRedriven()
    if (this.#turns++ % limits.turnsPerCount === 0)
      this.#needs.report.counted(await this.#needs.store.counts())
  }

  /** Lets go of what is not ours any more, or not as it was. */
  #compare(rows: readonly WebhookRow[]): void {
    const stored = new Map(rows.map((row) => [row.id, row]))
    for (const worker of this.#workers.values()) {
      const row = stored.get(worker.row.id)
      if (row?.epoch !== worker.row.epoch) this.#letGo(worker, 0)
      else if (row.revision !== worker.row.revision) this.#letGo(worker, limits.stopMs)
    }
  }

  #take(row: WebhookRow): void {
    const { settings } = this.#needs
    const policy = {
      attemptsMax: settings.attemptsMax,
      baseMs: settings.retryBaseMs,
      maxMs: settings.retryMaxMs,
    }
    const worker = new Worker({
      ...this.#needs,
      settings: { concurrency: settings.concurrency, policy },
      row,
      changed: () => this.look(),
    })
    this.#workers.set(row.id, worker)
    this.#needs.report.claimed(row.id, row.epoch)
    worker.start()
  }

  #letGo(worker: Worker, graceMs: number): void {
    if (worker.isStopping) return
    const { report } = this.#needs
    const done = worker
      .stop(graceMs)
      .then(() => this.#leases.release(worker.row))
      .catch((error: unknown) => report.troubled(worker.row.id, error))
      .finally(() => {
        this.#stopping.delete(done)
        if (this.#workers.get(worker.row.id) === worker) this.#workers.delete(worker.row.id)
        report.released(worker.row.id)
        // One that was changed is begun anew at once.
        this.look()
      })
    this.#stopping.add(done)
  }

  #confirmed(askedAt: number): void {
    clearTimeout(this.#expiry)
    const leftMs = askedAt + limits.leaseMs - limits.leaseMarginMs - performance.now()
    this.#expiry = setTimeout(
      () => {
        for (const worker of this.#workers.values()) this.#letGo(worker, 0)
      },
      Math.max(0, leftMs),
    )
    this.#expiry.unref()
  }
}
