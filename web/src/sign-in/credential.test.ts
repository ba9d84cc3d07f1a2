import assert from 'node:assert/strict'
import { test } from 'node:test'
import { readPasted, safeNext } from './credential.ts'

test('a pasted link is a token, anything else a key', () => {
  assert.deepEqual(readPasted(' http://127.0.0.1:8000/ui/sign-in#abc-1 '), { kind: 'token', token: 'abc-1' })
  assert.deepEqual(readPasted('pulse_key_1'), { kind: 'key', key: 'pulse_key_1' })
  assert.equal(readPasted('  '), undefined)
})

test('after signing in nobody is sent to another site', () => {
  assert.equal(safeNext('/events?user_id=ada'), '/events?user_id=ada')
  for (const bad of [
    '//evil.example',
    '/\\evil.example',
    'https://evil.example',
    'javascript:alert(1)',
    undefined,
    5,
    '/sign-in',
  ])
    assert.equal(safeNext(bad), '/')
})
