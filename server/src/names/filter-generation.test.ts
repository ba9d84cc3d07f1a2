import assert from 'node:assert/strict'
import { test } from 'node:test'
import { FilterGeneration } from './filter-generation.ts'
import { NameHasher } from './name-hash.ts'

const letters = 'abcdefghijklmnopqrstuvwxyz'
/** The n-th name of so many letters. */
const nameOf = (n: number, length: number): string => {
  let name = ''
  for (let rest = n; name.length < length; rest = Math.floor(rest / 26)) name += letters[rest % 26]
  return name
}

test('other names are a maybe as often as arithmetic says, whatever their length', () => {
  const hasher = new NameHasher()
  const names = 200_000
  const generation = new FilterGeneration({ number: 1, capacity: names })
  for (let n = 0; n < names; n++) generation.add(hasher.hash(`taken-${n}`))
  const expected = generation.expectedRate()
  for (const length of [4, 5, 8, 9, 12, 20]) {
    const asked = Math.min(300_000, 26 ** length)
    let maybes = 0
    for (let n = 0; n < asked; n++) if (generation.has(hasher.hash(nameOf(n * 7, length)))) maybes++
    const ratio = maybes / asked / expected
    assert.ok(ratio < 1.2, `names of ${length} letters: ${ratio.toFixed(2)} times as often`)
  }
})

test('how many names there are is known from the bits, to a part in a hundred', () => {
  const hasher = new NameHasher()
  const generation = new FilterGeneration({ number: 1, capacity: 100_000 })
  for (let n = 0; n < 70_000; n++) generation.add(hasher.hash(`counted-${n}`))
  for (let n = 0; n < 70_000; n++) generation.add(hasher.hash(`counted-${n}`))
  assert.ok(Math.abs(generation.namesEstimated / 70_000 - 1) < 0.01, String(generation.namesEstimated))
  assert.ok(Math.abs(generation.fill - 0.7) < 0.01)
})

test('a key beyond ASCII, and one longer than any name, has the hash of its UTF-8', () => {
  const hasher = new NameHasher()
  const once = (key: string) => [...hasher.hash(key)]
  const long = 'é'.repeat(5_000)
  assert.deepEqual(once(long), once(long))
  assert.notDeepEqual(once('é'), once('e'))
  assert.notDeepEqual(once('aé'), once('a'))
})
