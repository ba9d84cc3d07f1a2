import { z } from 'zod'
import { EventStreamConnection } from '../http/event-stream.ts'
import type { Answers, Http } from '../http/http.ts'
import { problemAnswer } from '../http/openapi.ts'
import { type Measured, measurementMs } from './measurement.ts'
import type { MeasurementStream } from './measurement-stream.ts'
import type { Operations } from './operations.ts'
import { createBusyWatch } from './resources.ts'

/** Of names. */
interface NameCounts {
  readonly checked: number
  readonly claimed: number
}

export interface MeasuringNeeds {
  readonly operations: Pick<Operations, 'history' | 'backlog' | 'answerMs'>
  /** How requests were answered since the start. */
  readonly answers: () => Answers
  /** Names since the start, in numbers that only grow; undefined where this server keeps none. */
  readonly names: () => NameCounts | undefined
  /** Streams of subscribers that are open. */
  readonly streams: () => number
}

/** Makes what takes a measurement of the time since the last one, out of what operations and HTTP count anyway. */
export function createMeasuring({
  operations,
  answers,
  names,
  streams,
}: MeasuringNeeds): (viewers: number) => Measured {
  const takeBusyRatio = createBusyWatch()
  const look = () => ({ answers: answers(), names: names(), ms: performance.now() })
  let before = look()
  return (viewers) => {
    const now = look()
    // A second that has just begun would make anything a high rate.
    const seconds = Math.max(1, (now.ms - before.ms) / 1_000)
    const rate = (of: keyof Answers) => (now.answers[of] - before.answers[of]) / seconds
    // Names open after the first measurement: they begin at nothing.
    const namesRate = (of: keyof NameCounts) =>
      now.names ? (now.names[of] - (before.names?.[of] ?? 0)) / seconds : null
    const rates = {
      ...{ requestsPerSecond: rate('all'), refusedPerSecond: rate('refused') },
      failedPerSecond: rate('failed'),
      namesCheckedPerSecond: namesRate('checked'),
      namesClaimedPerSecond: namesRate('claimed'),
    }
    before = now
    const history = operations.history(measurementMs / 1_000)
    return {
      ...rates,
      at: new Date(),
      receivedPerSecond: mean(history.received_per_second),
      processedPerSecond: mean(history.processed_per_second),
      backlogEvents: operations.backlog()?.events ?? null,
      streams: streams(),
      viewers,
      busyRatio: takeBusyRatio(),
      eventLoopP99Ms: highest(history.event_loop_p99_ms),
      memoryBytes: history.memory_bytes.at(-1) ?? null,
      databaseMs: operations.answerMs('database') ?? null,
    }
  }
}

const known = (values: readonly (number | null)[]) => values.filter((value) => value !== null)

function mean(values: readonly (number | null)[]): number | null {
  const numbers = known(values)
  return numbers.length === 0 ? null : numbers.reduce((sum, value) => sum + value, 0) / numbers.length
}

function highest(values: readonly (number | null)[]): number | null {
  const numbers = known(values)
  return numbers.length === 0 ? null : Math.max(...numbers)
}

/**
 * Registers `GET /stream` without parameters, the public stream of measurements. With parameters the address is a
 * subscriber's stream, which delivery registers; where it does so after this, its description stands for both.
 */
export function measurementRoutes(http: Http, measurements: MeasurementStream): void {
  http.get('/stream', {
    // To HEAD it would be a stream all the same, whose head is never sent.
    exposeHeadRoute: false,
    constraints: { query: 'none' },
    config: { access: 'public' },
    schema: {
      tags: ['operations'],
      summary: 'Follow the measurements of this server as server-sent events',
      description:
        'Four events every two seconds, one for each topic, the same for everyone. A browser that comes back to the same run of this server within five minutes gets what it missed.',
      headers: z.object({ 'last-event-id': z.string().optional() }).loose(),
      response: {
        200: { description: 'The stream.', content: { 'text/event-stream': { schema: z.string() } } },
        503: problemAnswer('There are too many viewers, or the server stops.'),
      },
    },
    handler: async (request, reply) => {
      const connection = new EventStreamConnection(reply.raw, reply.getHeaders())
      const leave = measurements.join(connection, request.headers['last-event-id'])
      reply.hijack()
      request.raw.once('close', leave)
      // Gone before anybody listened for it: what tells of it was told already.
      if (reply.raw.destroyed) leave()
    },
  })
}
