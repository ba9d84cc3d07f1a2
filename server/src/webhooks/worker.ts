import { setTimeout as delay } from 'node:timers/promises'
import { closeCodes } from '@pulse/protocol/close-codes'
import type { Event } from '@pulse/protocol/event'
import { instantOf } from '@pulse/protocol/instant'
import type pg from 'pg'
import type { Delivery, DeliveryRecord, Own, Stream } from '../delivery/delivery.ts'
import { uuidV5 } from '../intake/uuid-v5.ts'
import { treeOf } from '../subscriptions/subscriptions.ts'
import type { Outcome, RetryPolicy } from './attempts.ts'
import { type GivenUp, type Letter, Letters } from './letters.ts'
import { Mailbox } from './mailbox.ts'
import { Progress } from './progress.ts'
import type { WebhookReport } from './report.ts'
import type { Sender } from './sender.ts'
import { type DeadRow, pauseGone, type WebhookRow, waitingLetters } from './webhook-store.ts'

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
  /** Redriven dead letters that were taken in. */
  readonly redriven: Set<string>
}

/** Delivers one webhook, as long as its lease is this server's. */
export class Worker {
  readonly row: WebhookRow
  readonly #needs: WorkerNeeds
  readonly #stop = new AbortController()
  #graceMs = 0
  #position: string
  #run: Run | undefined
  #ended: Promise<void> | undefined

  constructor(needs: WorkerNeeds) {
    this.#needs = needs
    this.row = needs.row
    this.#position = needs.row.shown.position
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
    for (const { id, event, key, topic, position } of found) {
      run.redriven.add(id)
      run.letters.add({
        ...{ eventId: event.event_id, key: `${topic}/${key}`, from: { kind: 'redriven', id } },
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
      const own = this.row.filter ? { own: treeOf(this.row.filter) } : {}
      const begun = await stream.begin(this.#position, own)
      if (begun === 'begun') {
        this.#run = run
        await Promise.race([mailbox.closed, stopped])
        return restartMs
      }
      // What is stored from now on applies from a place behind this one only.
      if (begun === 'no_filter') this.#position = now
      if (begun === 'invalid')
        throw new Error(`the position of the webhook cannot be read: ${this.#position}`)
      return filterlessMs
    } finally {
      await letters.stop(this.#graceMs)
      await progress.end()
      this.#position = this.#placeOf(run) ?? this.#position
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
      gap: (from, to, reason) => {
        report.gap(row.id, { from, to, reason })
        progress.gap()
      },
    })
    const progress: Progress = new Progress({
      ...{ pool: this.#needs.pool, fence: row, failures: row.failures, report },
      position: () => this.#placeOf(run),
      waitingSince: () => letters.waitingSince(),
      fenced: () => this.#needs.changed(),
    })
    const letters = this.#lettersFor(mailbox, progress)
    const stream = await delivery.open({
      ...{ subscriber: row.filter ? null : row.subscriber, owner: row.subscriber, caller: null },
      ...{
        connection: mailbox,
        encoding: mailbox,
        enforced: row.enforced ? treeOf(row.enforced) : undefined,
      },
    })
    if (!stream) throw new Error('there are too many streams')
    const run: Run = { stream, mailbox, letters, progress, redriven: new Set() }
    return run
  }

  #lettersFor(mailbox: Mailbox, progress: Progress): Letters {
    const { settings, report, pool, changed } = this.#needs
    const { id } = this.row
    return new Letters({
      ...{ concurrencyMax: settings.concurrency, policy: settings.policy, random: Math.random },
      send: (letter, signal) => this.#send(letter, signal),
      taken: ({ from }) => {
        report.taken()
        progress.taken(from.kind === 'redriven' ? from.id : undefined)
      },
      failed: ({ eventId }, failure) => {
        report.failed(id, eventId, failure)
        progress.failed(failure)
      },
      bury: async (dead) => {
        await progress.bury(this.#graveOf(dead))
        report.givenUp(id, dead.letter.eventId, dead.attempts)
        // It was open until now: only the next commit passes it.
        progress.moved()
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

  /** Everything below is dealt with; undefined before the stream has begun. */
  #placeOf(run: Run): string | undefined {
    if (this.#run !== run || !run.mailbox.hasBegun) return undefined
    const { session } = run.stream
    return session.needs.slots.format(run.letters.lower(session.told.slice()))
  }

  #letterOf({ stream }: Run, record: DeliveryRecord, { ahead }: Own): Letter {
    const { event } = record.record
    const { topic } = stream.session.needs.slots.place(record.slot)
    return {
      eventId: event.event_id,
      key: `${topic}/${this.#needs.keyOf(event)}`,
      body: () => record.withPosition(ahead),
      from: { kind: 'stream', record },
    }
  }

  #graveOf({ letter, failure, attempts }: GivenUp): Parameters<Progress['bury']>[0] {
    const why = { error_class: failure.errorClass, error_message: failure.message, attempts }
    const { from } = letter
    if (from.kind === 'redriven') return { again: { id: from.id, ...why } }
    const { record } = from
    const { topic, partition } = record.slots.place(record.slot)
    const epoch = record.slots.topics.find(({ name }) => name === topic)?.epoch ?? 0
    const { event, receivedAt } = record.record
    const first: DeadRow = {
      // The same whoever buries it, so that it is buried once.
      id: uuidV5(this.row.id, `${topic}~${epoch}~${partition}.${record.offset}`),
      ...{ event, key: this.#needs.keyOf(event), position: record.position, ...why },
      ...{ topic, partition, record_offset: record.offset, log_epoch: epoch },
      received_at: instantOf(receivedAt),
    }
    return { first }
  }
}
