import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { LogError } from './log.ts'
import { decodeBatch, encodeBatch } from './record-batch.ts'
import { aRecord } from './suite-records.ts'

const stored = (count: number, text = 'x') => {
  const records = Array.from({ length: count }, (_, n) =>
    aRecord('events', 'key', { properties: { n, text } }),
  )
  const { bytes, checksum } = encodeBatch('events', 3, records)
  return { records, batch: { topic: 'events', partition: 3, baseOffset: 100, count, checksum, bytes } }
}

test('any records come back as they were, small batches plain and large ones compressed', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 60 }),
      fc.string({ unit: 'binary', maxLength: 100 }),
      (count, text) => {
        const { records, batch } = stored(count, text.toWellFormed())
        const decoded = decodeBatch(batch)
        assert.deepEqual(
          decoded.map(({ offset, receivedAt, value }) => ({ offset, receivedAt, value })),
          records.map(({ receivedAt, value }, n) => ({ offset: 100 + n, receivedAt, value })),
        )
        assert.deepEqual(decoded[0]?.event, JSON.parse(records[0]?.value ?? ''))
      },
    ),
    { numRuns: 50 },
  )
  assert.ok(stored(100, 'same '.repeat(20)).batch.bytes.length < 8_000)
})

test('a batch with any bit turned over is corrupt, with its partition and offset', () => {
  for (const count of [1, 40]) {
    const { batch } = stored(count)
    for (let at = 0; at < batch.bytes.length; at += Math.ceil(batch.bytes.length / 97)) {
      const bytes = Buffer.from(batch.bytes)
      bytes[at] = (bytes[at] ?? 0) ^ 0x10
      assert.throws(
        () => decodeBatch({ ...batch, bytes }),
        (error) =>
          error instanceof LogError &&
          error.code === 'corrupt' &&
          error.partition === 3 &&
          error.offset === 100,
      )
    }
  }
})

test('a whole batch in the wrong place is corrupt too', () => {
  const { batch } = stored(5)
  for (const wrong of [{ partition: 2 }, { topic: 'other' }, { count: 6 }])
    assert.throws(() => decodeBatch({ ...batch, ...wrong }), { code: 'corrupt' })
})
