import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type AccessNeeds, accessTo, socketUrl, wayOf } from './access.ts'

const needs: AccessNeeds = {
  credential: 'secret',
  way: undefined,
  isNativeSocket: true,
  ticket: async () => 'a ticket',
}
const url = 'ws://host/ws/user_1'

test('a socket is where the server is, also behind a path and for a page of its own', () => {
  assert.equal(socketUrl('http://host:8000', '/ws/a'), 'ws://host:8000/ws/a')
  assert.equal(socketUrl('https://host/pulse/', '/ws/a'), 'wss://host/pulse/ws/a')
  assert.throws(() => socketUrl('', '/ws/a'), TypeError)
  assert.throws(() => socketUrl('host:8000', '/ws/a'), TypeError)
  Object.defineProperty(globalThis, 'location', { value: { origin: 'https://page' }, configurable: true })
  try {
    assert.equal(socketUrl('', '/ws/a'), 'wss://page/ws/a')
    assert.equal(socketUrl('/pulse', '/ws/a'), 'wss://page/pulse/ws/a')
  } finally {
    Reflect.deleteProperty(globalThis, 'location')
  }
})

test('a credential goes into a header where that is possible, else into a frame, and never into an address', async () => {
  assert.deepEqual(await accessTo(url, needs), { url, headers: { authorization: 'Bearer secret' } })
  const browser = { ...needs, isNativeSocket: false }
  assert.deepEqual(await accessTo(url, browser), { url, auth: 'secret' })
  assert.deepEqual(await accessTo(url, { ...needs, credential: undefined }), { url })
  assert.deepEqual(await accessTo(url, { ...needs, way: 'ticket' }), { url: `${url}?ticket=a%20ticket` })
  let count = 0
  const fresh = { ...needs, credential: async () => `secret ${++count}` }
  await accessTo(url, fresh)
  assert.deepEqual(await accessTo(url, fresh), { url, headers: { authorization: 'Bearer secret 2' } })
  Object.defineProperty(globalThis, 'document', { value: {}, configurable: true })
  try {
    assert.equal(wayOf(needs), 'frame', 'a window that has Node besides')
  } finally {
    Reflect.deleteProperty(globalThis, 'document')
  }
})
