import assert from 'node:assert/strict'
import { Writable } from 'node:stream'
import { test } from 'node:test'
import { Registry } from 'prom-client'
import { z } from 'zod'
import type { Caller } from '../http/access.ts'
import { createHttp } from '../http/http.ts'
import { docsPage } from './docs-page.ts'
import { createLogger } from './logger.ts'

const thing = z.object({ name: z.string() }).meta({ id: 'FuzzThing' })
const twoFaced = z.object({ count: z.int().default(1) }).meta({ id: 'FuzzTwoFaced' })

interface DescribedOperation {
  readonly operationId: string
  readonly responses: Readonly<Record<string, { readonly description: string }>>
  readonly requestBody?: {
    readonly content: Readonly<Record<string, { schema: unknown; examples?: unknown }>>
  }
}

interface Described {
  readonly openapi: string
  readonly tags: readonly { readonly name: string }[]
  readonly components: { readonly schemas: Readonly<Record<string, unknown>> }
  readonly paths: Readonly<Record<string, Readonly<Record<string, DescribedOperation>>>>
}

async function openDocument() {
  const log = createLogger({ level: 'silent', to: new Writable() })
  const caller: Caller = { kind: 'open', id: 'open', name: 'open', scopes: new Set() }
  const http = await createHttp({
    settings: { trustedProxies: [], corsOrigins: [], bodyBytesMax: 1_000 },
    gatekeeper: { authenticate: () => caller, carriesCredential: () => true, limit: () => undefined },
    log,
    metrics: new Registry(),
    version: '1.2.3',
  })
  http.post('/odd-things/:thing_id', {
    config: { access: 'authenticated' },
    schema: {
      tags: ['events'],
      params: z.object({ thing_id: z.string() }),
      body: {
        content: {
          'application/json': {
            schema: thing,
            examples: { first: { summary: 'One', value: { name: 'a' } } },
          },
          'text/csv': { schema: z.string() },
        },
      },
      response: { 201: twoFaced },
    },
    handler: async (_request, reply) => reply.code(201).send({ count: 1 }),
  })
  http.put('/two-faced', {
    config: { access: 'authenticated' },
    schema: { tags: ['zebra'], body: twoFaced, response: { 200: twoFaced } },
    handler: async (request) => request.body,
  })
  await docsPage(http)
  await http.ready()
  const text = (await http.inject('/openapi.json')).body
  return { http, text, document: JSON.parse(text) as Described, [Symbol.asyncDispose]: () => http.close() }
}

test('the document names each schema once, keeps no schema that nobody uses, and every reference leads somewhere', async () => {
  await using world = await openDocument()
  const schemas = world.document.components.schemas
  const referred = new Set(
    [...world.text.matchAll(/"#\/components\/schemas\/([^"]+)"/g)].map(([, name]) => name),
  )
  assert.deepEqual(Object.keys(schemas).toSorted(), [...referred].toSorted())
  assert.ok('FuzzThing' in schemas && !('FuzzThingInput' in schemas))
  // What differs between sending and receiving keeps both: a default is optional on the way in, there on the way out.
  assert.ok('FuzzTwoFacedInput' in schemas && 'FuzzTwoFaced' in schemas)
})

test('a body in several types is documented type by type with examples that can be sent', async () => {
  await using world = await openDocument()
  const content = world.document.paths['/odd-things/{thing_id}']?.post?.requestBody?.content
  assert.deepEqual(Object.keys(content ?? {}), ['application/json', 'text/csv'])
  assert.deepEqual(content?.['application/json'], {
    schema: { allOf: [{ $ref: '#/components/schemas/FuzzThing' }] },
    examples: { first: { summary: 'One', value: { name: 'a' } } },
  })
})

test('every operation has an id of its own, described answers, and a problem for what can go wrong', async () => {
  await using world = await openDocument()
  const { document } = world
  assert.equal(document.openapi, '3.1.0')
  const post = document.paths['/odd-things/{thing_id}']?.post
  assert.equal(post?.operationId, 'postOddThingsByThingId')
  assert.equal(post?.responses['201']?.description, 'Created')
  const operations = Object.values(document.paths).flatMap((item) => Object.values(item))
  assert.equal(new Set(operations.map(({ operationId }) => operationId)).size, operations.length)
  for (const { operationId, responses } of operations) {
    for (const status of ['400', '429', '500', '503'])
      assert.ok(responses[status], `${operationId} ${status}`)
    for (const { description } of Object.values(responses)) assert.notEqual(description, 'Default Response')
  }
  assert.deepEqual(
    document.tags.map((tag) => tag.name),
    ['events', 'operations', 'zebra'],
  )
})

test('the page and all that it loads come from this server, without inline scripts', async () => {
  await using world = await openDocument()
  const page = await world.http.inject('/docs')
  assert.equal(page.headers['content-type'], 'text/html; charset=utf-8')
  assert.match(String(page.headers['content-security-policy']), /script-src 'self'(;|$)/)
  const loaded = [...page.body.matchAll(/(?:src|href)="([^"]+)"/g)].map(([, address]) => String(address))
  assert.ok(loaded.length >= 4)
  for (const address of loaded) {
    assert.match(address, /^\/[^/]/)
    assert.equal((await world.http.inject(address)).statusCode, 200, address)
  }
  assert.doesNotMatch(page.body, /<script(?![^>]* src=)|\son\w+=/)
  for (const hidden of [
    '/docs/static/index.html',
    '/docs/static/oauth2-redirect.html',
    '/docs/static/../package.json',
  ])
    assert.equal((await world.http.inject(hidden)).statusCode, 404, hidden)
})
