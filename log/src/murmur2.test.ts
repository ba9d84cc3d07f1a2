import assert from 'node:assert/strict'
import { test } from 'node:test'
import { murmur2 as platformaticMurmur2 } from '@platformatic/kafka'
import fc from 'fast-check'
import { murmur2, partitionOf } from './murmur2.ts'

const hash = (text: string) => murmur2(new TextEncoder().encode(text))

test('murmur2 gives the numbers of Kafka’s own tests', () => {
  // org.apache.kafka.common.utils.UtilsTest.testMurmur2
  const cases = {
    '21': -973932308,
    foobar: -790332482,
    'a-little-bit-long-string': -985981536,
    'a-little-bit-longer-string': -1486304829,
    lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8: -58897971,
    abc: 479470107,
  }
  for (const [text, expected] of Object.entries(cases)) assert.equal(hash(text), expected, text)
})

test('murmur2 agrees with another implementation for any bytes', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      assert.equal(murmur2(bytes) | 0, platformaticMurmur2(Buffer.from(bytes)) | 0)
    }),
  )
})

test('the partition of a key is that of Kafka’s default partitioner, for short and long keys of any script', () => {
  const keys = fc.oneof(fc.string({ unit: 'grapheme' }), fc.string({ minLength: 300, maxLength: 2_000 }))
  fc.assert(
    fc.property(keys, fc.integer({ min: 1, max: 1_024 }), (key, partitions) => {
      const expected = (platformaticMurmur2(Buffer.from(key)) & 0x7fffffff) % partitions
      assert.equal(partitionOf(key, partitions), expected)
    }),
  )
})
