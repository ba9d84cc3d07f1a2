import assert from 'node:assert/strict'
import { test } from 'node:test'
import { KeyedHash } from './keyed-hash.ts'

const hashed = (hash: KeyedHash, list: readonly number[]): number[] => {
  hash.hash(Int32Array.from(list), list.length)
  return [...hash.words]
}

test('the hash is HalfSipHash-2-4 with 64 bits, as its authors publish it', () => {
  // Key 00 01 … 07 and the messages of 0 and 4 bytes, 00 01 02 03: rows 1 and 5 of their vectors_hsip64.
  const words = Int32Array.of(0x03020100, 0x07060504, 0x03020100, 0x07060504)
  const bytes = (of: readonly number[]) => Buffer.from(Int32Array.from(of.slice(0, 2)).buffer).toString('hex')
  const hash = new KeyedHash(words)
  assert.equal(bytes(hashed(hash, [])), '218d1f59b9b83cc8')
  assert.equal(bytes(hashed(hash, [0x03020100])), 'd5e78a175be52ea1')
})

test('lists that differ in a word or in their length differ, under every key', () => {
  const [one, other] = [new KeyedHash(), new KeyedHash()]
  const seen = new Set([[], [0], [0, 0], [1], [0, 1], [1, 0]].map((list) => hashed(one, list).join()))
  assert.equal(seen.size, 6)
  assert.notDeepEqual(hashed(one, [1, 2, 3]), hashed(other, [1, 2, 3]))
  assert.deepEqual(hashed(one, [1, 2, 3]), hashed(one, [1, 2, 3]))
})
