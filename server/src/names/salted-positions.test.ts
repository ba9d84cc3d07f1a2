import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { test } from 'node:test'
import fc from 'fast-check'
import { SaltedPositions, saltedBitsMax, saltedBitsMin } from './salted-positions.ts'

/** What the original computes, written as plainly as possible: the judge of the quick form. */
function slowPositions(key: string, bits: number, hashes: number): number[] {
  return Array.from({ length: hashes }, (_, index) => {
    const hex = createHash('sha256').update(`${index}:${key}`, 'utf8').digest('hex')
    return Number(BigInt(`0x${hex}`) % BigInt(bits))
  })
}

test('BF-07 the positions of names are those of the original, and the case of a letter changes them', () => {
  const positions = new SaltedPositions({ bits: 10_000_000, hashes: 7 })
  const published = {
    Dorthy71: [7709515, 2340251, 1024916, 9655269, 4322003, 6097314, 3814352],
    MayurDev: [6998646, 4623306, 8416077, 7735260, 698762, 1691710, 334392],
    alice: [7177893, 2799821, 6211380, 7006767, 4580678, 5823032, 1620776],
    dorthy71: [8190559, 7924210, 4585884, 6040011, 6968162, 2661251, 5498903],
  }
  for (const [name, expected] of Object.entries(published)) assert.deepEqual(positions.of(name), expected)
})

test('BF-07 any name in a bitmap of any size has the positions that big integers give', () => {
  const sizes = fc.oneof(
    fc.integer({ min: saltedBitsMin, max: saltedBitsMax }),
    fc.constantFrom(saltedBitsMin, saltedBitsMax, saltedBitsMax - 1, 10_000_000, 2 ** 31, 4_294_967_291),
  )
  const keys = fc.string({ unit: 'binary', maxLength: 300 })
  fc.assert(
    fc.property(keys, sizes, fc.integer({ min: 1, max: 12 }), (key, bits, hashes) => {
      const found = new SaltedPositions({ bits, hashes }).of(key)
      assert.deepEqual(found, slowPositions(key, bits, hashes))
      assert.ok(found.every((position) => position >= 0 && position < bits))
    }),
    { numRuns: 2_000 },
  )
})

test('the remainder is exact for the digests that come closest to losing a digit', () => {
  const extremes = [0x00, 0x01, 0x7f, 0x80, 0xfe, 0xff].map((byte) => Buffer.alloc(32, byte))
  const digests = fc.oneof(fc.constantFrom(...extremes), fc.uint8Array({ minLength: 32, maxLength: 32 }))
  fc.assert(
    fc.property(digests, fc.integer({ min: saltedBitsMin, max: saltedBitsMax }), (digest, bits) => {
      const exact = Number(BigInt(`0x${Buffer.from(digest).toString('hex')}`) % BigInt(bits))
      assert.equal(
        new SaltedPositions({ bits, hashes: 1 }).remainder(Buffer.from(digest).toString('latin1')),
        exact,
      )
    }),
    { numRuns: 20_000 },
  )
})

test('a bitmap that Redis could not hold, or in which a mark would count, is refused', () => {
  for (const bits of [0, -1, 1.5, saltedBitsMin - 1, saltedBitsMax + 1, Number.NaN])
    assert.throws(() => new SaltedPositions({ bits, hashes: 7 }), RangeError)
  for (const hashes of [0, 65, 2.5])
    assert.throws(() => new SaltedPositions({ bits: 10_000_000, hashes }), RangeError)
})
