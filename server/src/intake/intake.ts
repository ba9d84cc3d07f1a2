import type { IncomingHttpHeaders } from 'node:http'
import type { AppendOutcome, EventLog, NewRecord } from '@pulse/log'
import type { Pool } from 'pg'
import { ProblemError } from '../http/problem-error.ts'
import type { Schemas } from '../schemas/schemas.ts'
import { Admission, type AdmissionLimits } from './admission.ts'
import { createAnswers, type Verdict } from './answers.ts'
import { createEventReader, type Reading } from './event-reader.ts'
import { claimKey, parseIdempotencyKey } from './idempotency-keys.ts'
import type { IntakeReport } from './report.ts'
import { type Item, readSubmission } from './submission.ts'
import { uuidNamespaceUrl, uuidV5 } from './uuid-v5.ts'

export { parseIdempotencyKey } from './idempotency-keys.ts'

export interface IntakeNeeds {
  readonly log: EventLog
  readonly pool: Pool
  readonly schemas: Schemas
  readonly limits: AdmissionLimits & {
    readonly eventBytesMax: number
    readonly batchEventsMax: number
    readonly futureSkewSecondsMax: number
  }
  readonly idWindowMs: number
  readonly diskUsedRatio: () => number | undefined
  readonly backlogSeconds: () => number | undefined
  readonly draining: () => boolean
  readonly report: IntakeReport
}

/** One request as the HTTP layer hands it over. */
export interface IntakeRequest {
  readonly body: Buffer | undefined
  readonly headers: IncomingHttpHeaders
  /** Names the credential; an Idempotency-Key belongs to it. */
  readonly callerId: string
  /** Finds the request's lines in the log. */
  readonly requestId: string
}

/** An answer ready to be sent: `body` is JSON text. */
export interface IntakeAnswer {
  readonly status: number
  readonly replayed: boolean
  readonly body: string
}

/** A request as it was let in: its events, and the verdicts on those beyond the budget. */
interface Taken {
  readonly batch: boolean
  readonly readings: readonly Reading[]
  readonly throttled: readonly Verdict[] | undefined
}

/** The way in: what it answers is on disk. */
export interface Intake {
  /** Why nothing is let in at the moment, if so; asked before a body is read. */
  refusal(): ProblemError | undefined
  /** Takes one request. Throws ProblemError; whatever it has accepted is kept. */
  accept(request: IntakeRequest): Promise<IntakeAnswer>
  /** Events that are let in and not settled yet. */
  readonly inFlight: number
}

/** Makes the intake. It starts nothing; closing the log waits for what it has appended. */
export function createIntake(needs: IntakeNeeds): Intake {
  return new OpenIntake(needs)
}

class OpenIntake implements Intake {
  readonly #needs: IntakeNeeds
  readonly #admission: Admission
  readonly #read: ReturnType<typeof createEventReader>
  readonly #answers: ReturnType<typeof createAnswers>

  constructor(needs: IntakeNeeds) {
    this.#needs = needs
    this.#admission = new Admission(needs)
    this.#read = createEventReader(needs)
    this.#answers = createAnswers({ can: needs.log.can, idWindowMs: needs.idWindowMs })
  }

  get inFlight(): number {
    return this.#admission.inFlight
  }

  refusal(): ProblemError | undefined {
    return this.#admission.refusal()
  }

  async accept(request: IntakeRequest): Promise<IntakeAnswer> {
    const startedMs = performance.now()
    const key = parseIdempotencyKey(request.headers['idempotency-key'])
    const taken = this.#take(request, key)
    try {
      const replayed = key ? (await this.#claim(request, key)).replayed : false
      const verdicts = await this.#settle(taken.readings)
      if (taken.throttled) verdicts.push(...taken.throttled)
      this.#needs.report.answered(verdicts, taken.readings, {
        ms: performance.now() - startedMs,
        requestId: request.requestId,
      })
      return taken.batch
        ? this.#answerBatch(verdicts, replayed)
        : this.#answerSingle(verdicts[0] as Verdict, replayed)
    } finally {
      this.#admission.leave(taken.readings.length)
    }
  }

  /**
   * Reads what is let in; the admitted must `leave`. It does not wait for anything, and what it returns holds no parsed
   * value: thousands of events wait for the disk at a time, and the collector copies whatever lives so long.
   */
  #take(request: IntakeRequest, key: string | undefined): Taken {
    const receivedAt = nowMicros()
    const { batch, items } = readSubmission(request.body, request.headers, this.#needs.limits.batchEventsMax)
    const owner = key && `${request.callerId}\n${key}`
    const idWithout = owner ? (index: number) => uuidV5(uuidNamespaceUrl, `${owner}\n${index}`) : undefined
    const admitted = this.#admission.enter(items.length)
    const readings: Reading[] = []
    for (let index = 0; index < admitted; index++)
      readings.push(this.#readItem(items[index] as Item, index, { receivedAt, idWithout }))
    if (admitted === items.length) return { batch, readings, throttled: undefined }
    const beyond = items.length - admitted
    return { batch, readings, throttled: items.slice(admitted).map((item) => this.#throttled(item, beyond)) }
  }

  async #claim(request: IntakeRequest, key: string): Promise<{ replayed: boolean }> {
    try {
      return await claimKey(this.#needs.pool, request.callerId, key, request.body ?? Buffer.alloc(0))
    } catch (error) {
      if (error instanceof ProblemError) throw error
      throw unavailable(error)
    }
  }

  #readItem(
    item: Item,
    index: number,
    from: { receivedAt: number; idWithout: ((index: number) => string) | undefined },
  ): Reading {
    if ('errors' in item) return { ok: false, eventId: null, errors: item.errors }
    const { receivedAt, idWithout } = from
    return this.#read(item.value, index, {
      receivedAt,
      suspect: item.suspect,
      ...(idWithout ? { idWithout } : {}),
    })
  }

  async #settle(readings: readonly Reading[]): Promise<Verdict[]> {
    const records: NewRecord[] = []
    for (const reading of readings) if (reading.ok) records.push(reading.record)
    const outcomes = records.length === 0 ? [] : await this.#append(records)
    let next = 0
    return readings.map((reading) => {
      if (!reading.ok) return { status: 'invalid', eventId: reading.eventId, errors: reading.errors }
      const { record, sha256 } = reading
      const event = { id: record.id, sha256, remembered: record.fingerprint !== undefined }
      return this.#answers.verdictOf(event, outcomes[next++] as AppendOutcome)
    })
  }

  #throttled(item: Item, events: number): Verdict {
    const id = 'value' in item ? (item.value as { event_id?: unknown } | null)?.event_id : null
    const eventId = typeof id === 'string' ? id.slice(0, 64) : null
    return { status: 'throttled', eventId, retryAfter: this.#admission.retryAfter(events) }
  }

  async #append(records: readonly NewRecord[]): Promise<readonly AppendOutcome[]> {
    try {
      return await this.#needs.log.append(records)
    } catch (error) {
      throw unavailable(error)
    }
  }

  #answerSingle(verdict: Verdict, replayed: boolean): IntakeAnswer {
    switch (verdict.status) {
      case 'accepted':
      case 'duplicate':
        return {
          status: 202,
          replayed: replayed || verdict.status === 'duplicate',
          body: this.#answers.single(verdict),
        }
      case 'conflict':
        throw new ProblemError(replayed ? 'idempotency_key_conflict' : 'event_id_conflict', verdict.detail)
      case 'invalid':
        throw new ProblemError('invalid_event', sentenceOf(verdict.errors), { errors: verdict.errors })
      case 'throttled':
        throw new ProblemError('over_budget', 'Intake is at its budget.', { retryAfter: verdict.retryAfter })
      case 'retry':
        throw new ProblemError('unavailable', verdict.detail, { retryAfter: 2 })
    }
  }

  #answerBatch(verdicts: readonly Verdict[], replayed: boolean): IntakeAnswer {
    const counts = { accepted: 0, duplicate: 0, conflict: 0, invalid: 0, throttled: 0, retry: 0 }
    for (const { status } of verdicts) counts[status]++
    const { accepted, duplicate } = counts
    const rejected = verdicts.length - accepted - duplicate
    const body = `{"accepted":${accepted},"duplicates":${duplicate},"rejected":${rejected},"results":${this.#answers.results(verdicts)}}`
    if (accepted + duplicate > 0) return { status: 200, replayed: replayed || accepted === 0, body }
    const { retry, throttled, conflict } = counts
    return { status: retry > 0 ? 503 : throttled > 0 ? 429 : conflict > 0 ? 409 : 422, replayed: false, body }
  }
}

const nowMicros = () => Math.round((performance.timeOrigin + performance.now()) * 1000)

function sentenceOf(errors: readonly { pointer: string; detail: string }[]): string {
  const first = errors[0]
  const more = errors.length > 1 ? ` (and ${errors.length - 1} more)` : ''
  return `${first?.pointer || 'The event'} ${first?.detail ?? 'is not valid'}${more}`
}

const unavailable = (cause: unknown) =>
  new ProblemError('unavailable', 'The log does not answer; nothing was acknowledged.', {
    retryAfter: 2,
    cause,
  })
