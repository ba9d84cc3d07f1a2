import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { ProblemError } from '../http/problem-error.ts'
import { countMembers, scanJson } from './json-scan.ts'
import { readSubmission } from './submission.ts'
import { uuidNamespaceUrl, uuidV5 } from './uuid-v5.ts'

const json = { 'content-type': 'application/json' }
const readJson = (text: string) => readSubmission(Buffer.from(text), json, 5_000)
const codeOf = (work: () => unknown): string => {
  try {
    work()
  } catch (error) {
    if (error instanceof ProblemError) return error.code
    throw error
  }
  return 'none'
}

test('the scan counts members and depth as the parsed value has them', () => {
  fc.assert(
    fc.property(fc.jsonValue({ maxDepth: 6 }), (value) => {
      const text = JSON.stringify(value)
      const scan = scanJson(Buffer.from(text))
      const parsed: unknown = JSON.parse(text)
      assert.equal(scan.members, countMembers(parsed))
      assert.equal(scan.depth, depthOf(parsed))
      assert.equal(scan.escapes, /(^|[^\\])(\\\\)*\\u/.test(text))
    }),
    { numRuns: 1_000 },
  )
})

const depthOf = (value: unknown): number =>
  typeof value === 'object' && value !== null ? 1 + Math.max(0, ...Object.values(value).map(depthOf)) : 0

describe('a JSON body', () => {
  test('is one event or an array of them', () => {
    assert.equal(readJson('{"event_type":"a"}').batch, false)
    assert.deepEqual(readJson(' [{"event_type":"a"},{}]').items.length, 2)
  })

  test('is refused when it is damaged, nests too deep or names a member twice', () => {
    assert.equal(
      codeOf(() => readJson('')),
      'invalid_json',
    )
    assert.equal(
      codeOf(() => readJson('{')),
      'invalid_json',
    )
    assert.equal(
      codeOf(() => readJson('[]')),
      'invalid_request',
    )
    assert.equal(
      codeOf(() => readJson(`${'['.repeat(40)}${']'.repeat(40)}`)),
      'invalid_json',
    )
    assert.equal(
      codeOf(() => readJson(`${'['.repeat(100_000)}`)),
      'invalid_json',
    )
    assert.equal(
      codeOf(() => readJson('{"a":1,"\\u0061":2}')),
      'invalid_json',
    )
    assert.equal(
      codeOf(() => readJson('[{"event_type":"a"},{"event_type":"a","properties":{"x":1,"x":2}}]')),
      'invalid_json',
    )
    assert.equal(
      codeOf(() => readSubmission(Buffer.from([0x22, 0xc3, 0x28, 0x22]), json, 10)),
      'invalid_encoding',
    )
    assert.equal(
      codeOf(() => readSubmission(Buffer.from('a=1'), { 'content-type': 'text/plain' }, 10)),
      'unsupported_media_type',
    )
    assert.equal(
      codeOf(() => readSubmission(Buffer.from('[1,2,3]'), json, 2)),
      'payload_too_large',
    )
  })
})

test('a damaged line of NDJSON spoils only itself, and blank lines are none', () => {
  const { items, batch } = readSubmission(
    Buffer.from('{"event_type":"a"}\r\n\n{oops\n{"a":1,"a":2}\n  \n{"event_type":"b"}'),
    { 'content-type': 'application/x-ndjson; charset=utf-8' },
    5_000,
  )
  assert.equal(batch, true)
  assert.deepEqual(
    items.map((item) => ('errors' in item ? 'bad' : 'good')),
    ['good', 'bad', 'bad', 'good'],
  )
})

describe('CloudEvents', () => {
  const structured = { specversion: '1.0', id: '1', source: '/s', type: 't', data: { a: 1 } }
  const mappedOf = (body: Buffer | undefined, headers: Record<string, string>) => {
    const item = readSubmission(body, headers, 10).items[0]
    assert.ok(item && 'value' in item, JSON.stringify(item))
    return item.value
  }

  test('mean the same in structured, batched and binary mode', () => {
    const one = mappedOf(Buffer.from(JSON.stringify(structured)), {
      'content-type': 'application/cloudevents+json',
    })
    assert.deepEqual(one, {
      event_id: uuidV5(uuidNamespaceUrl, '/s\n1'),
      event_type: 't',
      source: '/s',
      properties: { a: 1, cloudevent: { id: '1', source: '/s' } },
    })
    const batch = Buffer.from(JSON.stringify([structured]))
    assert.deepEqual(mappedOf(batch, { 'content-type': 'application/cloudevents-batch+json' }), one)
    const headers = { 'ce-specversion': '1.0', 'ce-id': '1', 'ce-source': '/s', 'ce-type': 't' }
    const binary = mappedOf(Buffer.from('{"a":1}'), { ...headers, 'content-type': 'application/json' })
    assert.deepEqual(binary, {
      ...(one as object),
      properties: { a: 1, cloudevent: { id: '1', source: '/s', datacontenttype: 'application/json' } },
    })
    const bytes = mappedOf(Buffer.from([1, 2, 255]), { ...headers, 'content-type': 'image/png' })
    assert.equal((bytes as { properties: { data_base64: string } }).properties.data_base64, 'AQL/')
  })

  test('without specversion 1.0 are named as wrong', () => {
    const bad = Buffer.from(JSON.stringify({ ...structured, specversion: '0.3' }))
    const item = readSubmission(bad, { 'content-type': 'application/cloudevents+json' }, 10).items[0]
    assert.deepEqual(item, { errors: [{ pointer: '/specversion', detail: 'must be 1.0' }] })
  })
})

test('UUIDv5 is that of RFC 9562', () => {
  assert.equal(
    uuidV5('6ba7b810-9dad-11d1-80b4-00c04fd430c8', 'www.example.com'),
    '2ed6657d-e927-568b-95e1-2665a8aea6a2',
  )
})
