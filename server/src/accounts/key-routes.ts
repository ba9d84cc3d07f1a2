import { subscriberIdSchema } from '@pulse/protocol/filter'
import { z } from 'zod'
import { callerOf } from '../http/access.ts'
import type { Http } from '../http/http.ts'
import { ProblemError } from '../http/problem-error.ts'
import { parseRate } from '../http/rate-limiter.ts'
import type { AccountStore, KeyRow } from './account-store.ts'
import type { Directory } from './directory.ts'
import type { AccountsReport } from './report.ts'
import { scopes } from './scopes.ts'
import { digestOf, newKey } from './secrets.ts'

interface KeyRouteNeeds {
  readonly store: AccountStore
  readonly directory: Directory
  readonly report: AccountsReport
}

const tags = ['accounts']
const scopeSchema = z.enum(scopes)

const keySchema = z
  .object({
    id: z.uuid(),
    name: z.string(),
    scopes: z.array(scopeSchema),
    rate_limit: z
      .string()
      .nullable()
      .describe('Requests in a time, for example `100/1m`; null: the default of the server.'),
    subscribers: z
      .string()
      .nullable()
      .describe(
        'Whose streams it may read, `*` standing for any characters, for example `user_*`; null: anyone’s.',
      ),
    created_at: z.iso.datetime(),
    last_used_at: z.iso.datetime().nullable().describe('To about ten seconds.'),
    revoked_at: z.iso.datetime().nullable(),
  })
  .meta({ id: 'ApiKey' })

const newKeySchema = z
  .strictObject({
    name: z
      .string()
      .trim()
      .min(1)
      .max(100)
      .regex(/^\P{Cc}*$/u, 'must not have control characters'),
    scopes: z.array(scopeSchema).min(1).max(scopes.length),
    rate_limit: z
      .string()
      .refine((text) => parseRate(text) !== undefined, 'must be a rate such as 100/1m (units s, m, h)')
      .nullish(),
    // A pattern is written as a subscriber is, and a `*` may stand in both.
    subscribers: subscriberIdSchema
      .nullish()
      .describe('Whose streams it may read, `*` standing for any characters; absent or null: anyone’s.'),
  })
  .refine(({ subscribers, scopes: asked }) => typeof subscribers !== 'string' || !asked.includes('admin'), {
    path: ['subscribers'],
    error: 'bounds nothing in a key with the scope admin, which may make any other key',
  })

/** Registers making, listing and revoking of API keys. */
export function keyRoutes(http: Http, needs: KeyRouteNeeds): void {
  listRoute(http, needs)
  createRoute(http, needs)
  revokeRoute(http, needs)
}

function listRoute(http: Http, { store }: KeyRouteNeeds): void {
  http.get('/admin/keys', {
    config: { access: 'admin' },
    schema: {
      tags,
      summary: 'List API keys, newest first',
      querystring: z.strictObject({
        limit: z.coerce.number().int().min(1).max(1_000).default(100),
        cursor: z.string().max(200).optional(),
      }),
      response: {
        200: z.object({ data: z.array(keySchema), cursor: z.string().nullable(), has_more: z.boolean() }),
      },
    },
    handler: async (request, reply) => {
      const { limit, cursor } = request.query
      const rows = await store.keys({
        limit: limit + 1,
        after: cursor === undefined ? undefined : readCursor(cursor),
      })
      const page = rows.slice(0, limit)
      const last = page.at(-1)
      const more = rows.length > limit && last !== undefined
      return reply.send({ data: page.map(shown), cursor: more ? writeCursor(last) : null, has_more: more })
    },
  })
}

function createRoute(http: Http, { store, directory, report }: KeyRouteNeeds): void {
  http.post('/admin/keys', {
    config: { access: 'admin' },
    schema: {
      tags,
      summary: 'Make an API key',
      description: 'The answer holds the key itself, this once: only its digest is stored.',
      body: newKeySchema,
      response: { 201: keySchema.extend({ key: z.string().describe('The secret. It is shown only here.') }) },
    },
    handler: async (request, reply) => {
      const { name, scopes: asked, rate_limit: rateLimit = null, subscribers = null } = request.body
      const caller = callerOf(request)
      const secret = newKey()
      const held = [...new Set(asked)]
      const createdBy = `${caller.kind}:${caller.id}`
      const bounds = { scopes: held, rateLimit, subscribers }
      const row = await store.addKey({ name, digest: digestOf(secret), ...bounds, createdBy })
      await directory.refresh()
      report.keyCreated(caller, { id: row.id, name, scopes: held, subscribers })
      return reply
        .code(201)
        .header('cache-control', 'no-store')
        .send({ ...shown(row), key: secret })
    },
  })
}

function revokeRoute(http: Http, { store, directory, report }: KeyRouteNeeds): void {
  http.delete('/admin/keys/:id', {
    config: { access: 'admin' },
    schema: {
      tags,
      summary: 'Revoke an API key',
      description: 'At once on this server, within two seconds on the others. It cannot be taken back.',
      params: z.object({ id: z.uuid() }),
      response: { 204: z.null().describe('Revoked.') },
    },
    handler: async (request, reply) => {
      const { id } = request.params
      if (!(await store.revokeKey(id))) throw new ProblemError('not_found', 'There is no key with this id.')
      directory.forget(id)
      report.keyRevoked(callerOf(request), id)
      return reply.code(204).send(null)
    },
  })
}

function shown(row: KeyRow): z.input<typeof keySchema> {
  return {
    id: row.id,
    name: row.name,
    scopes: scopes.filter((scope) => row.scopes.includes(scope)),
    rate_limit: row.rate_limit,
    subscribers: row.subscribers,
    created_at: row.created_at.toISOString(),
    last_used_at: row.last_used_at?.toISOString() ?? null,
    revoked_at: row.revoked_at?.toISOString() ?? null,
  }
}

const cursorSchema = z.tuple([z.iso.datetime(), z.uuid()])

function writeCursor({ created_at, id }: KeyRow): string {
  return Buffer.from(JSON.stringify([created_at.toISOString(), id])).toString('base64url')
}

function readCursor(cursor: string): { createdAt: string; id: string } {
  try {
    const [createdAt, id] = cursorSchema.parse(JSON.parse(Buffer.from(cursor, 'base64url').toString('utf8')))
    return { createdAt, id }
  } catch (error) {
    const errors = [{ pointer: '/cursor', detail: 'must come from an earlier page' }]
    throw new ProblemError('invalid_request', 'The cursor is not valid.', { errors, cause: error })
  }
}
