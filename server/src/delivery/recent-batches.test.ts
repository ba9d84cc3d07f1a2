import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { LogBatch } from '@pulse/log'
import { RecentBatches } from './recent-batches.ts'

/** A batch of one record of so many characters. */
function entryOf(slot: number, offset: number, chars: number) {
  const batch = { records: [{ offset, value: 'x'.repeat(chars) }] } as unknown as LogBatch
  return { slot, batch, end: offset + 1, changes: undefined }
}

test('what is forgotten is said to be gone, and what is left keeps its number', () => {
  const recent = new RecentBatches(new Float64Array(2))
  const chars = 1_000
  const count = 40_000
  const numbers: [number, number][] = []
  for (let n = 0; n < count; n++) {
    recent.add(entryOf(n % 2, Math.floor(n / 2), chars))
    if (n % 997 === 0) numbers.push([n % 2, Math.floor(n / 2)])
  }
  assert.equal(recent.end, count)
  const kept = Math.floor((16 * 1024 * 1024) / (chars + 64))
  assert.equal(recent.at(count - kept - 1), undefined)
  assert.ok(recent.at(count - kept))
  assert.equal(recent.at(count), undefined)
  for (const [slot, offset] of numbers) {
    const number = offset * 2 + slot
    const place = Float64Array.of(Math.ceil(number / 2), offset)
    assert.equal(recent.seek(place), number < count - kept ? undefined : number)
    const entry = recent.at(number)
    assert.equal(entry?.end, number < count - kept ? undefined : offset + 1)
  }
  assert.equal(recent.seek(Float64Array.of(count, count)), count)
})
