import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { createPositionWriter, formatEventPosition, formatPosition, parsePosition } from './position.ts'

const offset = fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER })
const anyPosition = fc.record({
  epoch: offset,
  topic: fc.stringMatching(/^[\w.-]{1,30}$/),
  offsets: fc
    .dictionary(fc.integer({ min: 0, max: 1023 }).map(String), offset)
    .map((record) => new Map(Object.entries(record).map(([partition, at]) => [Number(partition), at]))),
})

test('any position is read as it was written, and an event’s position is one with a single offset', () => {
  fc.assert(
    fc.property(anyPosition, (position) => {
      assert.deepEqual(parsePosition(formatPosition(position)), { ...position })
    }),
  )
  assert.equal(
    formatEventPosition(7, 'events', 3, 42),
    formatPosition({ epoch: 7, topic: 'events', offsets: new Map([[3, 42]]) }),
  )
})

test('the writer for many positions writes what the one for a single position does', () => {
  const write = createPositionWriter()
  const place = fc.tuple(fc.constantFrom(1, 2), fc.constantFrom('a', 'b'), fc.nat(3), offset)
  fc.assert(fc.property(place, (at) => assert.equal(write(...at), formatEventPosition(...at))))
})

test('a position that was cut or mistyped is none', () => {
  const text = formatEventPosition(1_795_259_042_435, 'events', 3, 18_231)
  for (let i = 0; i < text.length; i++) {
    assert.equal(parsePosition(text.slice(0, i) + text.slice(i + 1)), undefined, `without character ${i}`)
    assert.equal(parsePosition(`${text.slice(0, i)}#${text.slice(i + 1)}`), undefined, `other character ${i}`)
  }
  for (const other of ['', '~', 'events', `${text}~`]) assert.equal(parsePosition(other), undefined)
})
