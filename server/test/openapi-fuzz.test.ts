import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { Ajv2020 } from 'ajv/dist/2020.js'
import addFormats from 'ajv-formats'
import fc, { type Arbitrary } from 'fast-check'
import { brokenFor, type JsonSchema, nasty, validFor } from './schema-arbitrary.ts'
import { type StartedServer, startServer } from './started-server.ts'

interface Parameter {
  readonly name: string
  readonly in: 'query' | 'path' | 'header' | 'cookie'
  readonly required?: boolean
  readonly schema: JsonSchema
}
type Content = Readonly<
  Record<string, { readonly schema?: JsonSchema; readonly examples?: Record<string, { value: unknown }> }>
>
interface Operation {
  readonly parameters?: readonly Parameter[]
  readonly requestBody?: { readonly content: Content }
  readonly responses: Readonly<Record<string, { readonly content?: Content }>>
  readonly security?: readonly unknown[]
}
interface Document {
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>
  readonly components: { readonly schemas: Readonly<Record<string, JsonSchema>> }
}
interface Route {
  readonly name: string
  readonly method: string
  readonly path: string
  readonly operation: Operation
}
interface Attempt {
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: string | undefined
}

const runs = Number(process.env.FUZZ_RUNS ?? 20)
const seed = Number(process.env.FUZZ_SEED ?? Date.now() % 2 ** 31)
// A stream never ends; what has not answered by then has not answered.
const answerMsMax = 10_000

let server: StartedServer
let document: Document
let routes: readonly Route[]
const ajv = new Ajv2020({ strict: false, allErrors: false, validateFormats: true })
addFormats.default(ajv)

before(async () => {
  // The limits of strangers are tested elsewhere; here thousands of strangers' requests are sent on purpose.
  server = await startServer({ RATE_LIMIT_ADDRESS: '1000000/1m', RATE_LIMIT_KEY: '', LOG_LEVEL: 'warn' })
  document = (await (await fetch(`${server.url}/openapi.json`)).json()) as Document
  ajv.addSchema({ $id: 'api', components: document.components })
  routes = Object.entries(document.paths).flatMap(([path, item]) =>
    Object.entries(item).map(([method, operation]) => ({
      name: `${method.toUpperCase()} ${path}`,
      method: method.toUpperCase(),
      path,
      operation,
    })),
  )
})

after(async () => {
  await server?.[Symbol.asyncDispose]()
})

const resolve = (ref: string): JsonSchema => {
  const found = document.components.schemas[ref.replace('#/components/schemas/', '')]
  assert.ok(found, ref)
  return found
}

const asText = (value: unknown): string => (typeof value === 'string' ? value : (JSON.stringify(value) ?? ''))

/** A header may hold visible ASCII; a path and a query anything, encoded. Lone surrogates have no encoding. */
const encode = (value: unknown): string => encodeURIComponent(asText(value).toWellFormed())
/** Every client resolves a segment of one or two dots before it asks, so none of these can be sent. */
const inPath = (value: unknown): string => (/^\.{0,2}$/.test(encode(value)) ? '%20' : encode(value))
const inHeader = (value: unknown): string => asText(value).replaceAll(/[^\x21-\x7e]/g, '')

type Kind = 'valid' | 'broken'

/** Values for all parameters of a route; of the broken ones about a third is nasty. */
function parametersOf({ operation }: Route, kind: Kind): Arbitrary<Readonly<Record<string, unknown>>> {
  const value = ({ schema, in: place }: Parameter): Arbitrary<unknown> => {
    const valid = validFor(schema, resolve)
    if (kind === 'valid' || place === 'header') return valid
    return fc.oneof({ weight: 2, arbitrary: valid }, { weight: 1, arbitrary: nasty })
  }
  const all = (operation.parameters ?? []).map((parameter) => [parameter, value(parameter)] as const)
  const required = all.filter(([parameter]) => parameter.required || parameter.in === 'path')
  return fc.record(Object.fromEntries(all.map(([{ name }, arbitrary]) => [name, arbitrary])), {
    requiredKeys: required.map(([{ name }]) => name),
  })
}

function bodyOf({ operation }: Route, kind: Kind): Arbitrary<{ type: string; text: string } | undefined> {
  const content = Object.entries(operation.requestBody?.content ?? {})
  if (content.length === 0) return fc.constant(undefined)
  const bodies = content.map(([type, { schema = {} }]) => {
    const value = kind === 'valid' ? validFor(schema, resolve) : brokenFor(schema, resolve)
    return value.map((body) => ({
      type,
      text: type.includes('json') && !type.includes('ndjson') ? JSON.stringify(body) : asText(body),
    }))
  })
  if (kind === 'valid') return fc.oneof(...bodies)
  const mangled = fc
    .tuple(fc.oneof(...bodies), fc.constantFrom('text/plain', 'application/json', '', 'application/xml;;'))
    .map(([{ text }, type]) => ({ type, text: text.slice(0, Math.max(0, text.length - 2)) }))
  return fc.oneof(
    { weight: 3, arbitrary: fc.oneof(...bodies) },
    { weight: 1, arbitrary: mangled },
    { weight: 1, arbitrary: fc.constant(undefined) },
  )
}

function attemptOf(route: Route, kind: Kind): Arbitrary<Attempt> {
  return fc.tuple(parametersOf(route, kind), bodyOf(route, kind)).map(([values, body]) => {
    let path = route.path
    const query: string[] = []
    const headers: Record<string, string> = {}
    for (const { name, in: place } of route.operation.parameters ?? []) {
      const value = values[name]
      if (value === undefined) continue
      if (place === 'path') path = path.replace(`{${name}}`, inPath(value))
      else if (place === 'query') query.push(`${encodeURIComponent(name)}=${encode(value)}`)
      else if (place === 'header') headers[name] = inHeader(value) || 'x'
    }
    if (body && body.type !== '') headers['content-type'] = body.type
    return { path: query.length === 0 ? path : `${path}?${query.join('&')}`, headers, body: body?.text }
  })
}

async function send(route: Route, attempt: Attempt, credential: Readonly<Record<string, string>>) {
  return fetch(server.url + attempt.path, {
    method: route.method,
    headers: { ...attempt.headers, ...credential },
    redirect: 'manual',
    signal: AbortSignal.timeout(answerMsMax),
    ...(attempt.body === undefined ? {} : { body: attempt.body.toWellFormed() }),
  })
}

/** Fails unless the document says that this route may answer so: status, type and body. */
async function judge(route: Route, answer: Response): Promise<void> {
  // A stream never ends: that it began, with a status and a type that are documented, is all that can be judged.
  const isStream = answer.headers.get('content-type')?.startsWith('text/event-stream') ?? false
  if (isStream) await answer.body?.cancel()
  const text = isStream ? '' : await answer.text()
  const shown = `${answer.status} ${answer.headers.get('content-type')} ${text.slice(0, 500)}`
  const documented = route.operation.responses[String(answer.status)]
  assert.ok(documented, `the document does not have this status: ${shown}`)
  assert.ok(answer.headers.get('x-request-id'), `no X-Request-Id: ${shown}`)
  if (text === '') return
  const type = (answer.headers.get('content-type') ?? '').split(';', 1)[0] ?? ''
  const media = documented.content?.[type]
  assert.ok(media, `the document does not have this type: ${shown}`)
  if (!media.schema || !type.endsWith('json')) return
  const schema = JSON.parse(JSON.stringify(media.schema).replaceAll('"#/components/', '"api#/components/'))
  const valid = ajv.validate(schema, JSON.parse(text))
  assert.ok(valid, `the body is not as documented: ${ajv.errorsText()}: ${shown}`)
}

const wrongCredentials: readonly Readonly<Record<string, string>>[] = [
  { authorization: `Bearer pulse_${'x'.repeat(43)}` },
  { cookie: 'pulse_session=1' },
]

const bearer = () => ({ authorization: `Bearer ${server.key}` })
// What would end the credential that the rest of the run needs is sent without it only.
const isSuicidal = (route: Route) => route.name === 'POST /auth/sign-out'

// First, because the others send so many sign-in links that are not valid that this address is refused for a minute.
test('every route that needs a credential refuses requests without one and with a wrong one', async (t) => {
  const guarded = routes.filter(({ operation }) => operation.security === undefined)
  assert.ok(guarded.length >= 5)
  for (const [index, route] of guarded.entries())
    await t.test(route.name, async () => {
      // A ticket in the address would be a credential, and a wrong one.
      const bare = withoutTicket(route)
      const property = fc.asyncProperty(attemptOf(bare, 'valid'), async (attempt) => {
        const answer = await send(route, attempt, {})
        assert.equal(answer.status, 401)
        await judge(route, answer)
      })
      await fc.assert(property, { seed, numRuns: 8, endOnFailure: true })
      // One, by turns: whoever sends too many wrong credentials is refused before anything is looked at.
      const credential = wrongCredentials[index % wrongCredentials.length] ?? {}
      const [attempt] = fc.sample(attemptOf(bare, 'valid'), { seed, numRuns: 1 })
      assert.ok(attempt)
      const answer = await send(route, attempt, credential)
      // A session's change without an Origin is refused before anybody asks whose session it is.
      assert.ok(
        answer.status === 401 || ('cookie' in credential && answer.status === 403),
        `${answer.status}`,
      )
      await judge(route, answer)
    })
})

function withoutTicket(route: Route): Route {
  const parameters = (route.operation.parameters ?? []).filter(({ name }) => name !== 'ticket')
  return { ...route, operation: { ...route.operation, parameters } }
}

for (const kind of ['valid', 'broken'] as const) {
  test(`every route answers ${kind} requests as documented and never with 500 or above (seed ${seed})`, async (t) => {
    for (const route of routes.filter((one) => !isSuicidal(one)))
      await t.test(route.name, async () => {
        const property = fc.asyncProperty(attemptOf(route, kind), async (attempt) => {
          const answer = await send(route, attempt, bearer())
          if (answer.status >= 500)
            assert.fail(`${answer.status}: ${await answer.text()}\n${server.log().slice(-2_000)}`)
          await judge(route, answer)
        })
        await fc.assert(property, { seed, numRuns: runs, endOnFailure: true })
      })
  })
}

test('EF-02 every example of the document works as it stands', async (t) => {
  for (const route of routes)
    for (const [type, { examples = {} }] of Object.entries(route.operation.requestBody?.content ?? {}))
      for (const [name, { value }] of Object.entries(examples))
        await t.test(`${route.name} ${type} ${name}`, async () => {
          const attempt = { path: route.path, headers: { 'content-type': type }, body: asText(value) }
          const answer = await send(route, attempt, bearer())
          assert.ok(answer.status < 300, `${answer.status} ${await answer.clone().text()}`)
          await judge(route, answer)
        })
})

test('the server lives after all of that', async () => {
  assert.equal((await fetch(`${server.url}/readyz`)).status, 200)
  assert.equal(server.process.exitCode, null)
})
