import { submittedEventSchema } from '@pulse/protocol/event'
import { problemSchema } from '@pulse/protocol/problem'
import { acceptedSchema, batchResultSchema } from '@pulse/protocol/receipt'
import type { FastifyInstance } from 'fastify'
import { z } from 'zod'
import { callerOf } from '../http/access.ts'
import { takeRawBodies } from '../http/bodies.ts'
import type { Http } from '../http/http.ts'
import { cloudEventExamples, ndjsonExamples, oneEventExamples } from './event-examples.ts'
import type { Intake } from './intake.ts'
import type { IntakeReport } from './report.ts'

const json = (description: string, schema: z.ZodType) => ({
  description,
  content: { 'application/json': { schema } },
})

/** A batch answers with its verdicts, everything else with a problem. */
const either = (description: string) => ({
  description,
  content: {
    'application/json': { schema: batchResultSchema },
    'application/problem+json': { schema: problemSchema },
  },
})

const postEvents = {
  tags: ['events'],
  summary: 'Send one event or a batch',
  description:
    'One event is answered with 202 and a receipt once it is on disk. A JSON array or NDJSON is answered with one verdict ' +
    'per event, in order; it is 200 if any was kept. Sending the same event_id and body again is safe: it gets the ' +
    'first receipt and `Idempotency-Replayed: true`. An `Idempotency-Key` does the same for a whole request without ids. ' +
    'CloudEvents 1.0 are taken in structured, batched and binary mode.',
  headers: z
    .object({
      'idempotency-key': z.string().optional().describe('Names the whole request; quoted or bare.'),
    })
    .loose(),
  body: {
    content: {
      'application/json': {
        schema: z.union([submittedEventSchema, z.array(submittedEventSchema)]),
        examples: oneEventExamples,
      },
      'application/x-ndjson': { schema: z.string(), examples: ndjsonExamples },
      'application/cloudevents+json': { schema: z.looseObject({}), examples: cloudEventExamples },
      'application/cloudevents-batch+json': { schema: z.array(z.looseObject({})) },
    },
  },
  response: {
    200: json('A batch of which at least one event is kept.', batchResultSchema),
    202: json('The event is kept.', acceptedSchema),
    409: either('The event_id stands for another event.'),
    422: either('Not valid.'),
    429: either('Over a budget.'),
    503: either('Not now; Retry-After says when.'),
  },
}

/** Registers `POST /events`. */
export function intakeRoutes(http: Http, needs: { intake: Intake; report: IntakeReport }): void {
  const { intake, report } = needs
  http.register(async (scope) => {
    takeRawBodies(scope as unknown as FastifyInstance)
    scope.post('/events', {
      config: { access: 'events:write' },
      schema: postEvents,
      // The body is bytes here; intake reads and checks it itself, event by event.
      validatorCompiler: () => () => true,
      // Overload is answered before the body is read: that is what makes a refusal cheap.
      onRequest: (_request, _reply, done) => {
        const refusal = intake.refusal()
        if (refusal) report.refused(refusal.code, 1)
        done(refusal)
      },
      handler: async (request, reply) => {
        const answer = await intake.accept({
          body: request.body as Buffer | undefined,
          headers: request.headers,
          callerId: callerOf(request).id,
          requestId: request.id,
        })
        if (answer.replayed) reply.header('idempotency-replayed', 'true')
        if (answer.status === 503 || answer.status === 429) reply.header('retry-after', '2')
        reply.code(answer.status as 200).type('application/json')
        return reply.serializer(asIs).send(answer.body)
      },
    })
  })
}

// The answer is JSON text already.
const asIs = (text: unknown): string => text as string
