import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createObservations, namesMax } from './observations.ts'

test('EF-07 duplicates are counted by type, apart from what was received', () => {
  const observed = createObservations()
  observed.received('purchase', 3)
  observed.duplicate('purchase', 2)
  assert.deepEqual(
    [observed.totals.received, observed.totals.duplicate, observed.types.get('purchase')?.duplicate],
    [3, 2, 2],
  )
})

test('made-up event types, reasons and error classes end in `other` and lose no event', () => {
  const observed = createObservations()
  for (let index = 0; index < 1_000; index++) {
    observed.failed('purchase', `Error${index}`, 1)
    observed.rejected(`reason-${index}`, 1)
  }
  for (let index = 0; index < 1_000; index++) observed.received(`type-${index}`, 1)
  assert.equal(observed.types.size, namesMax.eventTypes + 1)
  assert.equal(observed.types.get('other')?.received, 1_001 - namesMax.eventTypes)
  assert.equal(observed.rejectedByReason.size, namesMax.reasons + 1)
  assert.equal(observed.types.get('purchase')?.failedByClass.size, namesMax.errorClassesPerType + 1)
  const sum = (counts: Iterable<number>) => [...counts].reduce((total, count) => total + count, 0)
  assert.equal(sum([...observed.types.values()].map((type) => type.received)), 1_000)
  assert.equal(sum(observed.rejectedByReason.values()), 1_000)
  assert.equal(sum(observed.types.get('purchase')?.failedByClass.values() ?? []), 1_000)
})

test('counting costs at most 100 ns an event when it is done per batch', () => {
  const observed = createObservations()
  const batches = 20_000
  const started = performance.now()
  for (let batch = 0; batch < batches; batch++) {
    observed.received('page_view', 100)
    observed.acknowledged(4.2, 100)
    observed.committed(100, 3.1)
    observed.processed('page_view', 100, 12)
  }
  const nsPerEvent = ((performance.now() - started) * 1e6) / (batches * 100)
  // Measured 1 to 2 ns; the wall leaves room for a busy machine and still catches formatting or hashing per event.
  assert.ok(nsPerEvent < 100, `${nsPerEvent} ns`)
})
