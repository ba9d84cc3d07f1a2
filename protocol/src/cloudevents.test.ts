import assert from 'node:assert/strict'
import { test } from 'node:test'
import { cloudEventOfHeaders, fromCloudEvent } from './cloudevents.ts'

const uuidOf = (name: string) => `uuid of ${name}`
const least = { specversion: '1.0', id: 'a-1', source: '/shop', type: 'order.created' }

test('a CloudEvent keeps its type, source, time, subject and data, and gets a UUID that repeats with it', () => {
  const full = {
    ...least,
    time: '2026-11-21T10:00:00Z',
    subject: 'user_7',
    data: { amount: 5 },
    traceparent: '00-1',
  }
  assert.deepEqual(fromCloudEvent(full, uuidOf), {
    event: {
      event_id: 'uuid of /shop\na-1',
      event_type: 'order.created',
      source: '/shop',
      timestamp: '2026-11-21T10:00:00Z',
      user_id: 'user_7',
      properties: { amount: 5, cloudevent: { id: 'a-1', source: '/shop', traceparent: '00-1' } },
    },
  })
})

test('an id that is a UUID stays; data that is no object is kept under data', () => {
  const id = '01890a5d-ac96-774b-bcce-b302099a8057'
  assert.deepEqual(fromCloudEvent({ ...least, id, data: [1, 2] }, uuidOf), {
    event: { event_id: id, event_type: 'order.created', source: '/shop', properties: { data: [1, 2] } },
  })
})

test('what is missing or wrong is named', () => {
  assert.deepEqual(fromCloudEvent({ ...least, specversion: '0.3' }, uuidOf), {
    faults: [{ pointer: '/specversion', detail: 'must be 1.0' }],
  })
  const { faults } = fromCloudEvent({ id: '' }, uuidOf) as { faults: { pointer: string }[] }
  assert.deepEqual(
    faults.map((fault) => fault.pointer),
    ['/id', '/source', '/specversion', '/type'],
  )
  assert.ok('faults' in fromCloudEvent([], uuidOf))
  assert.ok('faults' in fromCloudEvent({ ...least, data: 1, data_base64: 'AA==' }, uuidOf))
})

test('binary mode takes its attributes from ce- headers, percent-decoded', () => {
  const headers = {
    'ce-id': '1',
    'ce-source': '/caf%C3%A9',
    'ce-type': 't',
    'ce-specversion': '1.0',
    'content-type': 'application/json',
    host: 'x',
  }
  assert.deepEqual(cloudEventOfHeaders(headers, { data: { a: 1 } }), {
    id: '1',
    source: '/café',
    type: 't',
    specversion: '1.0',
    datacontenttype: 'application/json',
    data: { a: 1 },
  })
})
