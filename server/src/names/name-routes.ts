import {
  claimedNameSchema,
  claimNameSchema,
  nameCheckSchema,
  nameImportSchema,
  nameStatsSchema,
  namesMax,
  nameVerdictSchema,
  typedNameSchema,
} from '@pulse/protocol/name'
import { z } from 'zod'
import { callerOf } from '../http/access.ts'
import type { Http } from '../http/http.ts'
import { problemAnswer } from '../http/openapi.ts'
import { ProblemError } from '../http/problem-error.ts'
import { parseIdempotencyKey } from '../intake/intake.ts'
import type { Budgets } from './budgets.ts'
import { ClaimFailed } from './claims.ts'
import type { Names } from './names.ts'

const tags = ['names']
const problems = {
  422: problemAnswer('Not a valid name; `detail` says why.'),
  429: problemAnswer('Over a limit.'),
  503: problemAnswer('The database does not answer, and memory alone cannot tell.'),
}

export interface NameRoutesNeeds {
  readonly names: Omit<Names, typeof Symbol.asyncDispose>
  /** Whether memory can tell which names are free. */
  readonly canSuggest: () => boolean
  readonly budgets: Budgets
}

/** Registers everything under `/api` that has to do with names. */
export function nameRoutes(http: Http, needs: NameRoutesNeeds): void {
  checkRoutes(http, needs)
  claimRoutes(http, needs)
  keepingRoutes(http, needs)
}

function checkRoutes(http: Http, { names, canSuggest, budgets }: NameRoutesNeeds): void {
  http.get(
    '/api/check-username',
    {
      config: { access: 'public' },
      schema: {
        tags,
        summary: 'Ask whether a name is free',
        description:
          'A name of which memory knows that nobody has it is answered at once; every other one is looked up. A name that is ' +
          'kept back is answered like one that is taken.',
        querystring: z.object({ username: typedNameSchema.default('') }),
        response: { 200: nameCheckSchema, 400: problemAnswer('No name was sent.'), ...problems },
      },
    },
    async (request, reply) => {
      budgets.take(request.ip)
      reply.header('cache-control', 'no-store')
      return await names.check(request.query.username)
    },
  )
  http.get(
    '/api/names/suggestions',
    {
      config: { access: 'public' },
      schema: {
        tags,
        summary: 'Free names near one',
        querystring: z.object({
          username: typedNameSchema,
          count: z.coerce.number().int().min(1).max(20).default(5),
        }),
        response: { 200: z.object({ data: z.array(z.string()) }), ...problems },
      },
    },
    async (request) => {
      const { username, count } = request.query
      // Those that are left out of a list are taken, so it tells of at least as many names as it has.
      budgets.take(request.ip, count)
      if (!canSuggest())
        throw new ProblemError('unavailable', 'Memory cannot tell at the moment which names are free.', {
          retryAfter: 2,
        })
      return { data: [...names.suggest(username, count)] }
    },
  )
  http.post(
    '/api/names/check',
    {
      config: { access: 'names' },
      schema: {
        tags,
        summary: 'Ask for many names at once',
        body: z.strictObject({ usernames: z.array(typedNameSchema).min(1).max(namesMax.check) }),
        response: { 200: z.object({ data: z.array(nameVerdictSchema) }), ...problems },
      },
    },
    async (request) => ({ data: [...(await names.checkAll(request.body.usernames))] }),
  )
}

function claimRoutes(http: Http, { names }: NameRoutesNeeds): void {
  http.post(
    '/api/names',
    {
      config: { access: 'names' },
      schema: {
        tags,
        summary: 'Take a name',
        description:
          'Once it is answered with 201 no server calls the name free any more. With an `Idempotency-Key` the same claim may ' +
          'be made again: it gets 201 and `Idempotency-Replayed: true`.',
        headers: z.object({ 'idempotency-key': z.string().optional() }).loose(),
        body: claimNameSchema,
        response: {
          201: claimedNameSchema,
          409: problemAnswer('Somebody has it; `suggestions` lists free ones.'),
          ...problems,
        },
      },
    },
    async (request, reply) => {
      const { username, owner } = request.body
      const idempotencyKey = parseIdempotencyKey(request.headers['idempotency-key'])
      const outcome = await retryable(
        names.claim({ username, owner, claimedBy: callerOf(request).id, idempotencyKey }),
      )
      if (outcome.kind === 'taken')
        throw new ProblemError('name_taken', `The name ${JSON.stringify(username.trim())} is taken.`, {
          members: { suggestions: names.suggest(username, 5) },
        })
      if (outcome.kind === 'repeated') reply.header('idempotency-replayed', 'true')
      reply.code(201)
      return { username: outcome.name, claimed_at: outcome.claimedAt.toISOString() }
    },
  )
  http.delete(
    '/api/names',
    {
      config: { access: 'names' },
      schema: {
        tags,
        summary: 'Let go of a name',
        description: 'From now on it is free, after a look-up: its bits stay until the next filter is made.',
        // Not in the path: every client takes `.` and `..` out of one, and proxies decode a slash.
        querystring: z.object({ username: typedNameSchema }),
        response: { 204: z.null(), 404: problemAnswer('Nobody has it.'), ...problems },
      },
    },
    async (request, reply) => {
      if (!(await names.release(request.query.username)))
        throw new ProblemError('not_found', 'Nobody has this name.')
      reply.code(204)
      return null
    },
  )
}

function keepingRoutes(http: Http, { names }: NameRoutesNeeds): void {
  http.post(
    '/api/names/import',
    {
      config: { access: 'names' },
      schema: {
        tags,
        summary: 'Take many names at once',
        description: 'Names that are taken stay whose they are; sending the same ones again adds nothing.',
        body: z.strictObject({ usernames: z.array(z.string()).min(1).max(namesMax.import) }),
        response: { 200: nameImportSchema, ...problems },
      },
    },
    async (request) => {
      const { added, present, refused } = await retryable(
        names.claimAll(request.body.usernames, callerOf(request).id),
      )
      return { added, present, refused: [...refused] }
    },
  )
  http.get(
    '/api/names/stats',
    {
      config: { access: 'read:stats' },
      schema: { tags, summary: 'State of the filter of names', response: { 200: nameStatsSchema } },
    },
    async () => names.stats(),
  )
  http.post(
    '/api/names/rebuild',
    {
      config: { access: 'admin' },
      schema: {
        tags,
        summary: 'Make a new filter from the names in the database',
        response: { 202: z.object({ rebuilding: z.literal(true) }) },
      },
    },
    async (_request, reply) => {
      void names.rebuild()
      reply.code(202)
      return { rebuilding: true as const }
    },
  )
}

/** A claim whose fate is open, or that others have not heard of, may be made again. */
async function retryable<T>(claim: Promise<T>): Promise<T> {
  try {
    return await claim
  } catch (cause) {
    if (!(cause instanceof ClaimFailed)) throw cause
    throw new ProblemError('unavailable', `The claim cannot be confirmed: ${cause.message}. Make it again.`, {
      retryAfter: 1,
      cause,
    })
  }
}
