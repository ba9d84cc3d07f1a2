import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createRecordsBatch } from '@platformatic/kafka'
import fc from 'fast-check'
import { LogError } from '../log.ts'
import { decodeBatch, splitBatches } from './stored-batch.ts'

// Bytes as a broker stores them: what a producer sends, with the offset that the broker gives.
function stored(
  baseOffset: number,
  values: readonly string[],
  compression: 'none' | 'zstd' = 'none',
): Buffer {
  const messages = values.map((value) => ({
    topic: 't',
    partition: 0,
    key: Buffer.from('key'),
    value: Buffer.from(value),
    headers: new Map([[Buffer.from('received_at'), Buffer.from('1700000000123456')]]),
    timestamp: 1_700_000_000_000n,
  }))
  const bytes = Buffer.from(
    createRecordsBatch(messages, { compression, producerId: 1n, producerEpoch: 0 }).buffer,
  )
  bytes.writeBigInt64BE(BigInt(baseOffset))
  return bytes
}

const read = (wanted: number, bytes: Buffer) => {
  const { batches } = splitBatches(0, wanted, bytes)
  let from = wanted
  return batches.flatMap((batch) => {
    const { records, nextOffset } = decodeBatch(batch, { topic: 't', epoch: 1, from })
    from = nextOffset
    return records.map(({ offset, value }) => [offset, value] as const)
  })
}

const three = Buffer.concat([stored(5, ['5', '6', '7']), stored(8, ['8']), stored(9, ['9', '10'], 'zstd')])
const all = [5, 6, 7, 8, 9, 10].map((offset) => [offset, String(offset)] as const)

test('batches are read from any wanted offset, and what lies before it is left out', () => {
  for (let wanted = 5; wanted <= 10; wanted++) assert.deepEqual(read(wanted, three), all.slice(wanted - 5))
  assert.deepEqual(read(11, three), [], 'an answer that came twice has nothing new')
  const [record] = decodeBatch(splitBatches(0, 5, three).batches[0] ?? assert.fail('no batch'), {
    topic: 't',
    epoch: 7,
    from: 5,
  }).records
  assert.equal(record?.receivedAt, 1_700_000_000_123_456)
})

test('an answer that is cut off anywhere gives its whole batches, and says if there was none', () => {
  const first = stored(5, ['5', '6', '7']).length
  for (let length = 0; length <= three.length; length++) {
    const bytes = three.subarray(0, length)
    const seen = read(5, bytes)
    assert.deepEqual(seen, all.slice(0, seen.length))
    assert.equal(splitBatches(0, 5, bytes).whole, length === 0 || length >= first)
  }
})

test('any changed byte that a checksum covers is found, and batches before it are read', () => {
  const start = stored(5, ['5', '6', '7']).length
  const size = stored(8, ['8']).length
  fc.assert(
    fc.property(fc.integer({ min: 16, max: size - 1 }), fc.integer({ min: 1, max: 255 }), (at, change) => {
      const bytes = Buffer.from(three)
      bytes[start + at] = (bytes[start + at] ?? 0) ^ change
      const before = splitBatches(0, 5, bytes).batches[0]
      assert.ok(before)
      assert.equal(decodeBatch(before, { topic: 't', epoch: 1, from: 5 }).records.length, 3)
      assert.throws(
        () => read(8, bytes.subarray(start)),
        (error) => error instanceof LogError && error.code === 'corrupt' && error.offset === 8,
      )
    }),
  )
})

test('a batch that is not where it should be is corrupt, not skipped', () => {
  assert.throws(() => read(5, stored(6, ['6'])), { code: 'corrupt', partition: 0, offset: 5 })
  const gap = Buffer.concat([stored(5, ['5']), stored(7, ['7'])])
  assert.deepEqual(read(5, gap), [[5, '5']])
  assert.throws(() => read(6, gap.subarray(stored(5, ['5']).length)), { code: 'corrupt', offset: 6 })
})
