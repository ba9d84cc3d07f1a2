import assert from 'node:assert/strict'
import { connect } from 'node:net'
import { test } from 'node:test'
import { setTimeout as wait } from 'node:timers/promises'
import {
  brotliCompressSync,
  brotliDecompressSync,
  constants,
  deflateSync,
  gunzipSync,
  gzipSync,
} from 'node:zlib'
import { asJson, asWriter, type HttpWorld, openHttpWorld } from './http-world.ts'

const post = (
  world: HttpWorld,
  path: string,
  body: string | Uint8Array,
  headers: Record<string, string> = asJson,
) =>
  world.fetch(path, { method: 'POST', headers, body: typeof body === 'string' ? body : new Uint8Array(body) })

const codeOf = async (answer: Response) => ((await answer.json()) as { code: string }).code

test('a JSON route refuses what is not JSON, not UTF-8, not JSON by its type, or aims at a prototype', async () => {
  await using world = await openHttpWorld()
  const cases: readonly [string, string | Uint8Array, Record<string, string>, number, string][] = [
    ['cut off', '{"name":', asJson, 400, 'invalid_json'],
    ['not UTF-8', Buffer.from([0x7b, 0x22, 0xff, 0xfe, 0x22, 0x7d]), asJson, 400, 'invalid_encoding'],
    ['an overlong form', Buffer.from([0x22, 0xc0, 0xaf, 0x22]), asJson, 400, 'invalid_encoding'],
    ['a prototype', '{"name":"a","__proto__":{"admin":true}}', asJson, 400, 'invalid_json'],
    ['an escaped prototype', '{"name":"a","\\u005f_proto__":{"admin":true}}', asJson, 400, 'invalid_json'],
    ['a constructor', '{"constructor":{"prototype":{"admin":true}}}', asJson, 400, 'invalid_json'],
    [
      'a form',
      'name=a',
      { ...asWriter, 'content-type': 'application/x-www-form-urlencoded' },
      415,
      'unsupported_media_type',
    ],
    ['text', '{"name":"a"}', { ...asWriter, 'content-type': 'text/plain' }, 415, 'unsupported_media_type'],
    ['nothing', '', asJson, 400, 'invalid_request'],
  ]
  for (const [name, body, headers, status, code] of cases) {
    const answer = await post(world, '/json/1', body, headers)
    assert.equal(answer.status, status, name)
    assert.equal(await codeOf(answer), code, name)
  }
  const good = await post(world, '/json/1', '{"name":"ü"}', {
    ...asWriter,
    'content-type': 'application/merge-patch+json; charset=utf-8',
  })
  assert.deepEqual(await good.json(), { name: 'ü' })
})

test('a deeply nested body neither crashes the server nor is taken', async () => {
  await using world = await openHttpWorld()
  const answer = await post(world, '/json/1', `{"deep":${'['.repeat(49_000)}${']'.repeat(49_000)}}`)
  assert.equal(answer.status, 400)
})

test('a raw route gets the bytes as they came, whatever their type', async () => {
  await using world = await openHttpWorld()
  const bytes = Buffer.from([0xff, 0x00, 0x7b])
  for (const type of [
    'application/json',
    'application/x-ndjson',
    'application/cloudevents-batch+json',
    'image/png',
  ]) {
    const answer = await post(world, '/raw', bytes, { ...asWriter, 'content-type': type })
    assert.deepEqual(await answer.json(), { bytes: 3, raw: true, text: bytes.toString('latin1') }, type)
  }
  const none = await world.fetch('/raw', { method: 'POST', headers: asWriter })
  assert.equal(((await none.json()) as { bytes: null }).bytes, null)
})

test('a body over the limit is 413 although the client is still sending, with a length and without', async () => {
  await using world = await openHttpWorld()
  const large = Buffer.alloc(6_000_000, 0x20)
  const answer = await post(world, '/raw', large)
  assert.equal(answer.status, 413)
  assert.equal(await codeOf(answer), 'payload_too_large')
  const chunks = new Blob([large]).stream()
  const init = { method: 'POST', headers: asJson, body: chunks, duplex: 'half' }
  const chunked = await world.fetch('/raw', init as RequestInit)
  assert.equal(chunked.status, 413)
  // Many clients read only after they have sent everything: a reset in between would hide the answer from them.
  const head = `POST /raw HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer writer\r\nContent-Length: ${large.length}\r\n\r\n`
  assert.match(await sendThenRead(world.port, [Buffer.from(head), large]), /^HTTP\/1\.1 413 /)
})

function sendThenRead(port: number, parts: readonly Buffer[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1')
    socket.pause()
    socket.on('error', reject)
    for (const part of parts.slice(0, -1)) socket.write(part)
    socket.write(parts.at(-1) ?? '', () => {
      socket.once('data', (chunk: Buffer) => {
        resolve(chunk.toString('latin1'))
        socket.destroy()
      })
      socket.resume()
    })
  })
}

test('a strange sender of a large body reads 401', async () => {
  await using world = await openHttpWorld()
  const answer = await post(world, '/raw', Buffer.alloc(6_000_000, 0x20), {})
  assert.equal(answer.status, 401)
})

test('packed bodies are unpacked: gzip, deflate and br', async () => {
  await using world = await openHttpWorld()
  const packers = { gzip: gzipSync, deflate: deflateSync, br: brotliCompressSync, 'X-GZIP': gzipSync }
  for (const [encoding, pack] of Object.entries(packers)) {
    const answer = await post(world, '/json/1', pack('{"name":"packed"}'), {
      ...asJson,
      'content-encoding': encoding,
    })
    assert.deepEqual(await answer.json(), { name: 'packed' }, encoding)
  }
})

test('a packed body that is damaged, cut off or of another kind is 400, an unknown encoding 415', async () => {
  await using world = await openHttpWorld()
  const packed = gzipSync('{"name":"packed"}')
  const send = (body: Buffer, encoding: string) =>
    post(world, '/json/1', body, { ...asJson, 'content-encoding': encoding })
  for (const encoding of ['gzip', 'deflate', 'br']) {
    assert.equal(
      await codeOf(await send(Buffer.from('not packed at all, just words'), encoding)),
      'invalid_encoding',
      encoding,
    )
  }
  assert.equal(await codeOf(await send(packed.subarray(0, -6), 'gzip')), 'invalid_encoding')
  for (const encoding of ['zstd', 'gzip, gzip', 'none']) {
    const answer = await send(packed, encoding)
    assert.equal(answer.status, 415, encoding)
    assert.equal(answer.headers.get('accept-encoding'), 'gzip, deflate, br')
  }
})

test('a gzip bomb is 413 in bounded memory and time', async () => {
  await using world = await openHttpWorld()
  const zeros = Buffer.alloc(512 * 1024 * 1024)
  const gzip = gzipSync(zeros, { level: 9 }).subarray(0, 90_000)
  const br = brotliBomb(zeros)
  const bombs = [
    { encoding: 'gzip', bomb: gzip, whole: () => gunzipSync(gzip, { finishFlush: constants.Z_SYNC_FLUSH }) },
    { encoding: 'br', bomb: br, whole: () => brotliDecompressSync(br) },
  ]
  for (const { encoding, bomb, whole } of bombs) {
    const wholeMs = cpuMsOf(whole)
    assert.ok(bomb.length < 100_000, 'the bomb itself is under the limit')
    const before = process.memoryUsage().arrayBuffers
    const cpu = process.cpuUsage()
    const answers = await Promise.all(
      Array.from({ length: 8 }, () => post(world, '/raw', bomb, { ...asJson, 'content-encoding': encoding })),
    )
    for (const answer of answers) assert.equal(answer.status, 413, encoding)
    const usedMs = await cpuMsUntilIdle(cpu)
    // Unpacked whole, the eight would hold hundreds of megabytes, and take eight times as long as one of them here.
    assert.ok(process.memoryUsage().arrayBuffers - before < 50_000_000, `${encoding}: memory`)
    assert.ok(
      usedMs < 4 * wholeMs,
      `${encoding}: ${usedMs} ms of CPU, ${wholeMs} for one that is unpacked whole`,
    )
  }
})

const usedMsSince = (from: NodeJS.CpuUsage) => {
  const { user, system } = process.cpuUsage(from)
  return (user + system) / 1_000
}

function cpuMsOf(work: () => void): number {
  const from = process.cpuUsage()
  work()
  return usedMsSince(from)
}

/** Work may go on behind the answers: waits until the process rests, then says what it has used since `from`. */
async function cpuMsUntilIdle(from: NodeJS.CpuUsage): Promise<number> {
  const usedMs = () => usedMsSince(from)
  const deadlineMs = performance.now() + 10_000
  for (let before = usedMs(); performance.now() < deadlineMs; ) {
    await wait(100)
    const after = usedMs()
    if (after - before < 20) return after
    before = after
  }
  return usedMs()
}

function brotliBomb(zeros: Buffer): Buffer {
  // 64 MiB are packed to some dozen bytes already; packing all would only make the test slow.
  return brotliCompressSync(zeros.subarray(0, 64 * 1024 * 1024))
}
