import { type EventLog, LogError } from '@pulse/log'
import { instantOf, microsOf, parseInstant } from '@pulse/protocol/instant'
import { formatStreamPosition } from '@pulse/protocol/stream-position'
import { z } from 'zod'
import type { Http } from '../http/http.ts'
import { problemAnswer } from '../http/openapi.ts'
import { ProblemError } from '../http/problem-error.ts'

export interface PositionRouteNeeds {
  readonly log: Pick<EventLog, 'bounds'>
  /** Every topic of the log. */
  readonly topics: readonly string[]
}

const instant = z
  .string()
  .refine((text) => parseInstant(text) !== undefined, 'must be an RFC 3339 date-time with an offset')

const answerSchema = z
  .object({
    at: z.iso.datetime(),
    position: z.string().describe('Every event that was kept at or after that instant stands behind it.'),
  })
  .meta({ id: 'StreamPosition' })

/** Registers the question which position a stream has to resume from to get everything since an instant. */
export function positionRoute(http: Http, needs: PositionRouteNeeds): void {
  http.get('/streams/position', {
    config: { access: 'stream:read' },
    schema: {
      tags: ['streams'],
      summary: 'The position of a stream at an instant',
      description:
        'For clients that know a time and no position: a stream that resumes from it gets what was kept since then. Before the ' +
        'first event of the log it is the log’s start; in the future it is its end.',
      querystring: z.strictObject({ at: instant.describe('An instant, by the clock of the log.') }),
      response: { 200: answerSchema, 503: problemAnswer('The log does not answer.') },
    },
    handler: async (request) => {
      const at = microsOf(parseInstant(request.query.at) ?? instantOf(0))
      return { at: instantOf(at), position: await positionAt(needs, at) }
    },
  })
}

async function positionAt({ log, topics }: PositionRouteNeeds, at: number): Promise<string> {
  try {
    const bounds = await Promise.all(topics.map((topic) => log.bounds(topic, Math.max(0, at))))
    return formatStreamPosition(
      bounds.map(({ topic, epoch, partitions }) => ({
        topic,
        epoch,
        offsets: new Map(partitions.map(({ partition, since }) => [partition, since])),
      })),
    )
  } catch (cause) {
    if (!(cause instanceof LogError)) throw cause
    throw new ProblemError('unavailable', 'The log does not answer.', { retryAfter: 2, cause })
  }
}
