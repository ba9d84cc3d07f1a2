import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { BloomFilter, hash128 } from './bloom-filter.ts'

const hashOf = (bytes: Uint8Array) => {
  const out = new Uint32Array(4)
  hash128(bytes, 0, bytes.length, out)
  return out
}

test('the hash is MurmurHash3 x86_128: the values of its author’s reference code', () => {
  const hex = (text: string) =>
    [...hashOf(Buffer.from(text))].map((word) => word.toString(16).padStart(8, '0')).join('')
  assert.equal(hex(''), '00000000000000000000000000000000')
  assert.equal(hex("I will not buy this tobacconist's, it is scratched."), '9b5b7ba2ef3f7866889adeaf00f3f98e')
})

test('a key that was added is always a maybe', () => {
  const filter = BloomFilter.forKeys(50_000)
  const keys = Array.from({ length: 50_000 }, () => hashOf(randomBytes(16)))
  for (const key of keys) filter.add(key)
  for (const key of keys) assert.ok(filter.has(key))
  const stored = new BloomFilter(new Uint32Array(filter.words))
  for (const key of keys) assert.ok(stored.has(key), 'also after it was stored and loaded')
})

const rates = [
  { bitsPerKey: 16, oneIn: 900 },
  { bitsPerKey: 24, oneIn: 10_000 },
]
for (const { bitsPerKey, oneIn } of rates)
  test(`at ${bitsPerKey} bits per key about one other key in ${oneIn} is a maybe`, () => {
    const keys = 200_000
    const tries = 200 * oneIn
    const filter = BloomFilter.forKeys(keys, bitsPerKey)
    for (let i = 0; i < keys; i++) filter.add(hashOf(randomBytes(16)))
    let maybes = 0
    for (let i = 0; i < tries; i++) if (filter.has(hashOf(randomBytes(16)))) maybes++
    // 200 are expected, with a standard deviation of 14.
    assert.ok(maybes < 280, `${maybes} of ${tries}`)
    assert.ok(maybes > 100, `${maybes} of ${tries}: too good to be measured`)
  })

test('words that are no filter are refused', () => {
  assert.throws(() => new BloomFilter(new Uint32Array(0)), RangeError)
  assert.throws(() => new BloomFilter(new Uint32Array(17)), RangeError)
})
