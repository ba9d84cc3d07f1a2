import assert from 'node:assert/strict'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { problemSchema } from '@pulse/protocol/problem'
import { z } from 'zod'
import { dashboard } from './dashboard.ts'
import { asJson, asWriter, openHttpWorld } from './http-world.ts'
import { ProblemError } from './problem-error.ts'
import { publicRoutes } from './public-routes.ts'

async function problemOf(answer: Response) {
  assert.match(answer.headers.get('content-type') ?? '', /^application\/problem\+json/)
  const problem = problemSchema.parse(await answer.json())
  assert.equal(problem.status, answer.status)
  assert.equal(problem.type, `/docs/problems/${problem.code}`)
  assert.equal(problem.error, problem.title)
  assert.equal(problem.request_id, answer.headers.get('x-request-id'))
  return problem
}

test('every route but those of the public list answers 401 without a credential', async () => {
  await using world = await openHttpWorld()
  const isPublic = (method: string, url: string) =>
    publicRoutes.some(({ route }) => route === `${method === 'HEAD' ? 'GET' : method} ${url}`)
  const entries = world.http.routeEntries()
  assert.ok(entries.length > 8)
  for (const { method, url, access } of entries) {
    assert.equal(access === 'public', isPublic(method, url), `${method} ${url}`)
    if (isPublic(method, url)) continue
    const answer = await world.fetch(url.replaceAll(/:\w+/g, 'x'), { method })
    assert.equal(answer.status, 401, `${method} ${url}`)
    if (method !== 'HEAD') assert.equal((await problemOf(answer)).code, 'unauthenticated')
  }
})

test('a route that does not say who may use it stops the start', async () => {
  await assert.rejects(
    openHttpWorld({ routes: (http) => void http.get('/forgotten', async () => 'open to all') }),
    /GET \/forgotten does not say who may use it/,
  )
})

test('a public route that is not in the list stops the start', async () => {
  const routes = (http: Parameters<NonNullable<Parameters<typeof openHttpWorld>[0]>['routes'] & object>[0]) =>
    void http.get('/leak', { config: { access: 'public' }, handler: async () => 'open to all' })
  await assert.rejects(openHttpWorld({ routes }), /GET \/leak is public but not in the list/)
})

test('a credential without the scope is 403, and the detail names the scope', async () => {
  await using world = await openHttpWorld({
    routes: (http) => void http.get('/admin', { config: { access: 'admin' }, handler: async () => ({}) }),
  })
  const problem = await problemOf(await world.fetch('/admin', { headers: asWriter }))
  assert.equal(problem.code, 'forbidden')
  assert.match(problem.detail, /admin/)
})

test('validation errors are problems with a JSON Pointer for each wrong member', async () => {
  await using world = await openHttpWorld()
  const body = JSON.stringify({ name: 5, deep: [{ count: 1 }, { count: 'many' }], 'odd/~member': true })
  const answer = await world.fetch('/json/1', { method: 'POST', headers: asJson, body })
  const problem = await problemOf(answer)
  assert.equal(problem.code, 'invalid_request')
  assert.deepEqual(
    problem.errors?.map(({ pointer }) => pointer),
    ['/name', '/deep/1/count', '/odd~1~0member'],
  )
  assert.deepEqual(
    problem.errors?.map(({ detail }) => detail),
    ['must be text', 'must be a number', 'is not known here'],
  )
  assert.equal(problem.detail, 'The body is not valid: /name must be text (and 2 more in errors).')
  const query = await world.fetch('/json/1?limit=11', {
    method: 'POST',
    headers: asJson,
    body: '{"name":"a"}',
  })
  const { detail, errors } = await problemOf(query)
  assert.equal(detail, 'The query is not valid: /limit must be at most 10.')
  assert.deepEqual(errors, [{ pointer: '/limit', detail: 'must be at most 10' }])
})

test('of a member that has several forms the mistakes of the form that was meant are told', async () => {
  await using world = await openHttpWorld({
    routes: (http) =>
      void http.post('/forms', {
        config: { access: 'events:write' },
        schema: {
          body: z.object({
            of: z.union(
              [z.strictObject({ text: z.string() }), z.strictObject({ low: z.number(), high: z.number() })],
              { error: 'must be a text or a range' },
            ),
          }),
        },
        handler: async () => ({}),
      }),
  })
  const told = async (of: unknown) => {
    const answer = await world.fetch('/forms', {
      method: 'POST',
      headers: asJson,
      body: JSON.stringify({ of }),
    })
    return (await problemOf(answer)).errors
  }
  assert.deepEqual(await told({ text: 5 }), [{ pointer: '/of/text', detail: 'must be text' }])
  assert.deepEqual(await told({ low: 1, high: 'x' }), [{ pointer: '/of/high', detail: 'must be a number' }])
  assert.deepEqual(await told({ text: 'a', odd: 1 }), [{ pointer: '/of/odd', detail: 'is not known here' }])
  assert.deepEqual(await told({ low: 1, text: 'a' }), [{ pointer: '/of/low', detail: 'is not known here' }])
  assert.deepEqual(await told('a'), [{ pointer: '/of', detail: 'must be a text or a range' }])
})

test('an address above its limit is 414 everywhere, one at its limit is not', async () => {
  await using world = await openHttpWorld()
  const at = (path: string, length: number) => `${path}?q=${'x'.repeat(length - path.length - 3)}`
  for (const path of ['/address', '/nothing', '/livez']) {
    const answer = await world.fetch(at(path, 8_193), { headers: asWriter })
    assert.match(answer.headers.get('x-request-id') ?? '', /./)
    assert.equal(answer.headers.get('x-content-type-options'), 'nosniff')
    const problem = await problemOf(answer)
    assert.deepEqual([answer.status, problem.code], [414, 'uri_too_long'])
    assert.equal(problem.detail, 'The address has 8193 bytes; 8,192 are allowed.')
  }
  assert.equal((await world.fetch(at('/address', 8_192), { headers: asWriter })).status, 200)
})

test('a body above its limit is 413, and the detail says the limit', async () => {
  await using world = await openHttpWorld()
  const body = JSON.stringify({ name: 'n'.repeat(100_000) })
  const answer = await world.fetch('/json/1', { method: 'POST', headers: asJson, body })
  const problem = await problemOf(answer)
  assert.deepEqual([answer.status, problem.code], [413, 'payload_too_large'])
  assert.equal(problem.detail, 'The body is longer than 100,000 bytes, unpacked.')
})

test('an unknown address is 404 and a known one with another method is 405 with Allow', async () => {
  await using world = await openHttpWorld()
  assert.equal((await problemOf(await world.fetch('/nothing'))).code, 'not_found')
  // The body is not even looked at.
  const sent = { method: 'POST', headers: asJson, body: '{"not": json' }
  assert.equal((await problemOf(await world.fetch('/nothing', sent))).code, 'not_found')
  for (const method of ['GET', 'DELETE', 'PUT', 'PATCH', 'OPTIONS']) {
    const answer = await world.fetch('/json/7', { method })
    assert.equal(answer.headers.get('allow'), 'POST', method)
    assert.equal((await problemOf(answer)).code, 'method_not_allowed')
  }
  const trace = await world.raw(
    'TRACE /json/7 HTTP/1.1\r\nHost: a\r\nX-Secret: 1\r\nConnection: close\r\n\r\n',
  )
  assert.match(trace, /^HTTP\/1\.1 405 /)
  assert.doesNotMatch(trace, /X-Secret/)
})

test('a mistake of ours is 500 without its message, and the request id finds it in the log', async () => {
  await using world = await openHttpWorld()
  const answer = await world.fetch('/broken', { headers: asWriter })
  const text = await answer.clone().text()
  const problem = await problemOf(answer)
  assert.equal(problem.code, 'internal')
  assert.doesNotMatch(text, /password|select|\.ts/)
  const line = world.lines.find(({ request_id }) => request_id === problem.request_id)
  assert.match(JSON.stringify(line), /select password from secrets/)
})

test('a problem carries Retry-After, its headers and its errors', async () => {
  const refuse = async () => {
    const errors = [{ pointer: '/a', detail: 'no' }]
    throw new ProblemError('overloaded', 'Too slow now.', {
      retryAfter: 3,
      headers: { 'x-more': 'yes' },
      errors,
    })
  }
  await using world = await openHttpWorld({
    routes: (http) => void http.get('/full', { config: { access: 'events:write' }, handler: refuse }),
  })
  const answer = await world.fetch('/full', { headers: asWriter })
  assert.equal(answer.headers.get('retry-after'), '3')
  assert.equal(answer.headers.get('x-more'), 'yes')
  const problem = await problemOf(answer)
  assert.equal(problem.retry_after, 3)
  assert.deepEqual(problem.errors, [{ pointer: '/a', detail: 'no' }])
})

test('every answer has its own request id and the security headers; HSTS only where https is promised', async () => {
  await using plain = await openHttpWorld()
  await using secure = await openHttpWorld({ settings: { publicUrl: 'https://pulse.example' } })
  const ids = new Set<string | null>()
  for (const path of ['/nothing', '/address', '/docs/problems', '/%zz', '/json/1']) {
    const answer = await plain.fetch(path, { headers: asWriter })
    ids.add(answer.headers.get('x-request-id'))
    const policy = answer.headers.get('content-security-policy') ?? ''
    assert.match(policy, /script-src 'self';/, path)
    assert.match(policy, /frame-ancestors 'none'/)
    assert.equal(answer.headers.get('x-content-type-options'), 'nosniff')
    assert.equal(answer.headers.get('strict-transport-security'), null)
    const promised = await secure.fetch(path, { headers: asWriter })
    assert.match(promised.headers.get('strict-transport-security') ?? '', /max-age=31536000/)
  }
  assert.equal(ids.size, 5)
  assert.ok(!ids.has(null))
})

test('a path that leaves the folder of the dashboard finds nothing, however it is written', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'pulse-ui-'))
  try {
    await mkdir(join(folder, 'dist', 'assets'), { recursive: true })
    await writeFile(join(folder, 'dist', 'assets', 'app.js'), '1')
    await writeFile(join(folder, 'secret'), 'outside')
    await using world = await openHttpWorld({ routes: (http) => dashboard(http, join(folder, 'dist')) })
    const get = (path: string) => world.raw(`GET ${path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`)
    assert.match(await get('/ui/assets/app.js'), /^HTTP\/1\.1 200 /)
    for (const up of ['../../secret', '%2e%2e/%2e%2e/secret', '..%2f..%2fsecret', '..%5c..%5csecret', ''])
      assert.match(await get(`/ui/assets/${up}`), /^HTTP\/1\.1 404 .*"code":"not_found"/s, up)
  } finally {
    await rm(folder, { recursive: true })
  }
})

test('what needs a credential is kept by no cache, whatever the answer', async () => {
  await using world = await openHttpWorld()
  const kept = async (path: string, headers: Record<string, string> = {}) =>
    (await world.fetch(path, { headers })).headers.get('cache-control')
  assert.equal(await kept('/address', asWriter), 'no-store')
  assert.equal(await kept('/address'), 'no-store', '401')
  assert.equal(await kept('/broken', asWriter), 'no-store', '500')
  assert.equal(await kept('/docs/problems'), null, 'public')
})

test('only listed origins may read answers from another page', async () => {
  await using world = await openHttpWorld({ settings: { corsOrigins: ['https://app.example'] } })
  const from = (origin: string) => world.fetch('/address', { headers: { ...asWriter, origin } })
  assert.equal(
    (await from('https://app.example')).headers.get('access-control-allow-origin'),
    'https://app.example',
  )
  for (const origin of [
    'https://evil.example',
    'https://app.example.evil.example',
    'null',
    'http://app.example',
  ]) {
    assert.equal((await from(origin)).headers.get('access-control-allow-origin'), null, origin)
  }
  const preflight = await world.fetch('/json/1', {
    method: 'OPTIONS',
    headers: { origin: 'https://app.example', 'access-control-request-method': 'POST' },
  })
  assert.equal(preflight.status, 204)
  assert.equal(preflight.headers.get('access-control-allow-credentials'), null)
})

test('the client address is taken from X-Forwarded-For only behind a trusted proxy', async () => {
  const headers = { ...asWriter, 'x-forwarded-for': '9.9.9.9, 203.0.113.7', 'x-forwarded-proto': 'https' }
  await using alone = await openHttpWorld()
  assert.deepEqual(await (await alone.fetch('/address', { headers })).json(), {
    ip: '127.0.0.1',
    protocol: 'http',
  })
  await using behind = await openHttpWorld({ settings: { trustedProxies: ['127.0.0.0/8'] } })
  // What stands left of the hop that our proxy saw was written by the client.
  assert.deepEqual(await (await behind.fetch('/address', { headers })).json(), {
    ip: '203.0.113.7',
    protocol: 'https',
  })
})

test('the pages of problems answer HTML to people and JSON to others', async () => {
  await using world = await openHttpWorld()
  const kind = await world.fetch('/docs/problems/rate_limited')
  assert.deepEqual(((await kind.json()) as { status: number }).status, 429)
  assert.equal(kind.headers.get('vary'), 'Accept')
  const html = await world.fetch('/docs/problems/unauthenticated', { headers: { accept: 'text/html,*/*' } })
  assert.match(html.headers.get('content-type') ?? '', /^text\/html/)
  const text = await html.text()
  assert.match(text, /<code>Authorization: Bearer …<\/code>/)
  assert.doesNotMatch(text, /<script|https?:\/\//)
  const list = (await (await world.fetch('/docs/problems')).json()) as { data: { code: string }[] }
  for (const { code } of list.data) assert.equal((await world.fetch(`/docs/problems/${code}`)).status, 200)
  assert.equal((await problemOf(await world.fetch('/docs/problems/none'))).code, 'not_found')
})

test('answers are counted by route and status class', async () => {
  await using world = await openHttpWorld()
  await world.fetch('/address', { headers: asWriter })
  await world.fetch('/address')
  const text = await world.metrics.metrics()
  assert.match(text, /pulse_http_requests_total\{method="GET",route="\/address",status="2xx"\} 1/)
  assert.match(text, /pulse_http_requests_total\{method="GET",route="\/address",status="4xx"\} 1/)
})
