import { setTimeout as delay } from 'node:timers/promises'
import { closeCodes } from '@pulse/protocol/close-codes'
import type { Event } from '@pulse/protocol/event'
import type pg from 'pg'
import type { Delivery, DeliveryRecord, Own, Stream } from '../delivery/delivery.ts'
import { treeOf } from '../subscriptions/subscriptions.ts'
import type { Outcome, RetryPolicy } from './attempts.ts'
import { gapLetter, type ToldGap } from './gap-letter.ts'
import { Gaps, isSameDamage, metDamage, owedGap } from './gaps.ts'
import { graveOf } from './grave.ts'
import { type GivenUp, keyOfLetter, type Letter, parkedOf } from './letter.ts'
import { Letters } from './letters.ts'
import { Mailbox } from './mailbox.ts'
import { nextParked, parkedByKey } from './parked-store.ts'
import { Progress } from './progress.ts'
import type { WebhookReport } from './report.ts'
import type { Sender } from './sender.ts'
import { type LastGap, pauseGone, type WebhookRow, waitingLetters } from './webhook-store.ts'

/** What every worker of a server needs. */
export interface WorkersNeeds {
  readonly delivery: Pick<Delivery, 'open'>
  readonly pool: pg.Pool
  readonly sender: Sender
  readonly settings: { readonly concurrency: number; readonly policy: RetryPolicy }
  /** The key whose order holds. */
  readonly keyOf: (event: Event) => string
  readonly report: WebhookReport
}

export interface WorkerNeeds extends WorkersNeeds {
  readonly row: WebhookRow
  /** The row is to be looked at again: it is another's, gone or paused. */
  readonly changed: () => void
}

/** A stream that cannot begin, or has ended, is tried again after this. */
const restartMs = 1_000
/** Without a filter there is nothing to do; it is looked for again after this. */
const filterlessMs = 2_000
const redrivenMax = 100

/** Everything of one run: from the beginning of a stream to its end. */
interface Run {
  readonly stream: Stream
  readonly mailbox: Mailbox
  readonly letters: Letters
  readonly progress: Progress
  readonly gaps: Gaps
  /** Redriven dead letters that were taken in. */
  readonly redriven: Set<string>
}

/** Delivers one webhook, as long as its lease is this server's. */
export class Worker {
  readonly row: WebhookRow
  readonly #needs: WorkerNeeds
  readonly #stop = new AbortController()
  #graceMs = 0
  /** What the next run begins with; null: no gap was met yet. */
  #stored: { readonly position: string; readonly lastGap: LastGap | null }
  #run: Run | undefined
  #ended: Promise<void> | undefined

  constructor(needs: WorkerNeeds) {
    this.#needs = needs
    this.row = needs.row
    const { position, last_gap: lastGap } = needs.row.shown
    this.#stored = { position, lastGap }
  }

  start(): void {
    this.#ended ??= this.#work()
  }

  get isStopping(): boolean {
    return this.#stop.signal.aborted
  }

  /**
   * Sends nothing more; resolves when what is on its way was answered or, after `graceMs`, called off, and the rest is
   * committed.
   */
  async stop(graceMs: number): Promise<void> {
    this.#graceMs = graceMs
    this.#stop.abort()
    await this.#ended
  }

  /** Takes in dead letters that were redriven. */
  async lookForRedriven(): Promise<void> {
    const run = this.#run
    if (!run) return
    const found = await waitingLetters(this.#needs.pool, {
      ...{ webhookId: this.row.id, known: [...run.redriven], limit: redrivenMax },
    })
    if (this.#run !== run) return
    for (const { id, event, key, topic, partition, position } of found) {
      run.redriven.add(id)
      run.letters.add({
        ...{ eventId: event.event_id, key: keyOfLetter(topic, partition, key) },
        from: { kind: 'redriven', id },
        body: () => JSON.stringify({ ...event, position }),
      })
    }
  }

  async #work(): Promise<void> {
    const { signal } = this.#stop
    while (!signal.aborted) {
      let waitMs = restartMs
      try {
        waitMs = await this.#follow()
      } catch (error) {
        this.#needs.report.troubled(this.row.id, error)
      }
      await delay(waitMs, undefined, { signal }).catch(() => {})
    }
  }

  /** Follows the stream to its end; returns how long to wait before the next one. */
  async #follow(): Promise<number> {
    const { signal } = this.#stop
    const run = await this.#open()
    const { stream, mailbox, letters, progress } = run
    const stopped = new Promise<void>((resolve) => {
      if (signal.aborted) resolve()
      signal.addEventListener('abort', () => resolve(), { once: true })
    })
    try {
      const { now } = stream
      const found = await parkedByKey(this.#needs.pool, this.row.id)
      const owed = owedGap(this.#stored)
      const own = this.row.filter ? { own: treeOf(this.row.filter) } : {}
      const known = metDamage(this.#stored)
      const begun = await stream.begin(owed?.to ?? this.#stored.position, {
        ...{ ...own, ...(owed && { owed }), ...(known && { known }) },
      })
      if (begun === 'begun') {
        this.#run = run
        // Within the turn in which it began, so before the first event comes.
        letters.found(found)
        await Promise.race([mailbox.closed, stopped])
        return restartMs
      }
      // What is stored from now on applies from a place behind this one only.
      if (begun === 'no_filter') this.#stored = { ...this.#stored, position: now }
      if (begun === 'invalid')
        throw new Error(`the position of the webhook cannot be read: ${this.#stored.position}`)
      return filterlessMs
    } finally {
      await letters.stop(this.#graceMs)
      await progress.end()
      const { position, lastGap } = progress.stored ?? this.#stored
      this.#stored = { position, lastGap: lastGap ?? this.#stored.lastGap }
      this.#run = undefined
      stream.end(closeCodes.done, '')
    }
  }

  async #open(): Promise<Run> {
    const { row } = this
    const { delivery, report } = this.#needs
    const mailbox: Mailbox = new Mailbox({
      take: (record, own) => letters.add(this.#letterOf(run, record, own)),
      hasRoom: () => letters.hasRoom,
      moved: () => progress.moved(),
      gap: (from, to, reason) => this.#tellGap(run, { from, to, reason }),
    })
    const progress: Progress = new Progress({
      ...{ pool: this.#needs.pool, fence: row, failures: row.failures, report },
      position: () => this.#placeOf(run),
      waitingSince: () => letters.waitingSince(),
      stalled: () => letters.stalled,
      fenced: () => this.#needs.changed(),
    })
    const gaps = new Gaps(this.#stored.lastGap, (gap, isNew) => progress.gap(gap, isNew))
    const letters = this.#lettersFor(mailbox, { progress, gaps })
    const stream = await delivery.open({
      ...{ subscriber: row.filter ? null : row.subscriber, owner: row.subscriber, caller: null },
      ...{
        connection: mailbox,
        encoding: mailbox,
        enforced: row.enforced ? treeOf(row.enforced) : undefined,
      },
    })
    if (!stream) throw new Error('there are too many streams')
    const run: Run = { stream, mailbox, letters, progress, gaps, redriven: new Set() }
    return run
  }

  #lettersFor(mailbox: Mailbox, run: Pick<Run, 'progress' | 'gaps'>): Letters {
    const { progress, gaps } = run
    const { settings, report, pool, changed } = this.#needs
    const { id } = this.row
    return new Letters({
      ...{ concurrencyMax: settings.concurrency, policy: settings.policy, random: Math.random },
      send: (letter, signal) => this.#send(letter, signal),
      taken: (letter) => {
        if (letter.from.kind === 'gap') gaps.told('yes')
        else report.taken()
        progress.taken(letter)
      },
      failed: ({ eventId }, failure) => {
        report.failed(id, eventId, failure)
        progress.failed(failure)
      },
      bury: (dead) => this.#bury(run, dead),
      park: (row) => progress.park(row),
      next: (key, which) => nextParked(pool, id, { key, ...which }),
      parked: (letter) => parkedOf(id, letter),
      blocked: ({ eventId }) => report.blocked(id, eventId),
      unread: (error) => {
        report.troubled(id, error)
        // Begun anew, it asks again.
        mailbox.close()
      },
      gone: () => {
        report.gone(id)
        pauseGone(pool, this.row, 'the receiver answered 410')
          .then(changed)
          .catch((error: unknown) => {
            report.troubled(id, error)
            // Begun anew, the same event is sent again, and answered in the same way.
            mailbox.close()
          })
      },
      drained: () => mailbox.drained(),
    })
  }

  async #send(letter: Letter, signal: AbortSignal): Promise<Outcome> {
    const { url, secret } = this.row
    const startedAt = performance.now()
    const outcome = await this.#needs.sender.send({
      ...{ url, secret, id: letter.eventId, body: letter.body(), signal },
    })
    this.#needs.report.attempted(outcome, performance.now() - startedAt)
    return outcome
  }

  async #bury({ progress, gaps }: Pick<Run, 'progress' | 'gaps'>, dead: GivenUp): Promise<void> {
    const { report, keyOf } = this.#needs
    if (dead.letter.from.kind === 'gap') {
      gaps.told('never')
      report.gapGivenUp(this.row.id, dead.attempts)
      return
    }
    await progress.bury(graveOf(this.row.id, dead, keyOf))
    report.givenUp(this.row.id, dead.letter.eventId, dead.attempts)
    // It was open until now: only the next commit passes it.
    progress.moved()
  }

  #tellGap({ letters, gaps, stream }: Run, met: ToldGap): void {
    const { row } = this
    const known = met.reason === 'corrupt' ? metDamage(this.#stored) : undefined
    const isKnown = known && isSameDamage(known, met, stream.session.needs.slots)
    const gap: ToldGap = isKnown ? { from: known.from, to: known.to, reason: known.reason } : met
    this.#needs.report.gap(row.id, gap)
    gaps.met(gap)
    letters.add(gapLetter({ webhookId: row.id, subscriber: row.subscriber }, gap, met.from))
  }

  /** Everything below is dealt with; undefined before the stream has begun. */
  #placeOf(run: Run): string | undefined {
    if (this.#run !== run || !run.mailbox.hasBegun) return undefined
    const { session } = run.stream
    const { slots } = session.needs
    const { gapFrom } = run.letters
    if (gapFrom === undefined) return slots.format(run.letters.lower(session.told.slice()))
    const before = slots.parse(gapFrom)
    // Of another log, where nothing came before it.
    return before.kind === 'ok' ? slots.format(run.letters.lower(before.vector)) : gapFrom
  }

  #letterOf({ stream }: Run, record: DeliveryRecord, { ahead }: Own): Letter {
    const { event } = record.record
    const { topic, partition } = stream.session.needs.slots.place(record.slot)
    return {
      eventId: event.event_id,
      key: keyOfLetter(topic, partition, this.#needs.keyOf(event)),
      body: () => record.withPosition(ahead),
      from: { kind: 'stream', record },
    }
  }
}
