import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { HashTable } from './hash-table.ts'

const allOf = (table: HashTable, hash: number): number[] => {
  const found: number[] = []
  for (let id = table.first(hash); id >= 0; id = table.next()) found.push(id)
  return found.sort((one, other) => one - other)
}

test('numbers are found under their hashes, also under equal ones, while they come and go', () => {
  // Few hashes, among them such as lie in one slot or differ in their first bit only.
  const hash = fc.oneof(fc.constantFrom(0, 1, 512, 1024, -1, 2 ** 31 - 1, -(2 ** 31)), fc.integer())
  const change = fc.record({ hash, id: fc.nat(50), add: fc.boolean() })
  fc.assert(
    fc.property(fc.array(change, { maxLength: 200, size: 'max' }), (changes) => {
      const table = new HashTable()
      const model = new Map<number, Set<number>>()
      for (const { hash, id, add } of changes) {
        const ids = model.get(hash) ?? new Set()
        model.set(hash, ids)
        if (add && !ids.has(id)) {
          table.insert(hash, id)
          ids.add(id)
        } else if (!add && ids.delete(id)) table.remove(hash, id)
        assert.deepEqual(
          allOf(table, hash),
          [...ids].sort((one, other) => one - other),
        )
      }
      assert.equal(
        table.size,
        [...model.values()].reduce((sum, ids) => sum + ids.size, 0),
      )
    }),
  )
})

test('it grows and shrinks with what it holds, and all stay to be found', () => {
  const table = new HashTable()
  const empty = table.bytes
  const count = 100_000
  const hashOf = (n: number) => Math.imul(n, 0x9e3779b1)
  for (let n = 0; n < count; n++) table.insert(hashOf(n), n)
  assert.ok(table.bytes < 24 * count, `${table.bytes} bytes`)
  for (let n = 0; n < count; n++) assert.deepEqual(allOf(table, hashOf(n)), [n])
  for (let n = 0; n < count; n++) if (n % 50 !== 0) table.remove(hashOf(n), n)
  assert.ok(table.bytes < 24 * count * 0.2, `${table.bytes} bytes for a fiftieth`)
  for (let n = 0; n < count; n++) assert.equal(table.first(hashOf(n)), n % 50 === 0 ? n : -1)
  for (let n = 0; n < count; n += 50) table.remove(hashOf(n), n)
  assert.equal(table.bytes, empty)
  assert.throws(() => table.remove(1, 1))
})

test('waves that grow and shrink it leave every number where it is found, and no call takes or gives back much', () => {
  // Numbers and waves from a few to thousands, so that pages are parted and joined again and again in between.
  const wave = fc.record({ add: fc.boolean(), count: fc.integer({ min: 1, max: 3_000 }), seed: fc.nat() })
  fc.assert(
    fc.property(fc.array(wave, { minLength: 4, maxLength: 12 }), (waves) => {
      const table = new HashTable()
      const held: number[] = []
      const hashOf = (n: number) => Math.imul(n ^ (n >>> 7), 0x9e3779b1) ^ (n >>> 3)
      let next = 0
      let bytes = table.bytes
      const watched = (change: () => void) => {
        change()
        // What a change takes or gives back does not depend on how much there is: three pages and a list of pages at most.
        if (held.length > 0)
          assert.ok(Math.abs(table.bytes - bytes) <= 4 * 33_024, `${bytes} to ${table.bytes}`)
        bytes = table.bytes
      }
      for (const { add, count, seed } of waves)
        for (let n = 0; n < count && (add || held.length > 0); n++) {
          if (add) {
            held.push(next)
            watched(() => table.insert(hashOf(next), next))
            next++
          } else {
            const [gone] = held.splice((seed + n * 7_919) % held.length, 1)
            watched(() => table.remove(hashOf(gone as number), gone as number))
          }
        }
      assert.equal(table.size, held.length)
      const left = new Set(held)
      for (let n = 0; n < next; n++) assert.equal(allOf(table, hashOf(n)).includes(n), left.has(n))
    }),
    { numRuns: 30 },
  )
})

test('more equal hashes than a table has slots are kept all the same', () => {
  const table = new HashTable()
  for (let n = 0; n < 2_000; n++) table.insert(7, n)
  assert.equal(allOf(table, 7).length, 2_000)
  for (let n = 0; n < 2_000; n++) table.remove(7, n)
  assert.equal(table.size, 0)
})
