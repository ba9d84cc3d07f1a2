import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Gaps, isSameDamage, owedGap } from './gaps.ts'
import type { LastGap } from './webhook-store.ts'

const first = { from: 'events~1', to: 'events~5', reason: 'retention' } as const
const second = { from: 'events~7', to: 'events~9', reason: 'corrupt' } as const

/** What a webhook shows and counts. */
function openShown() {
  const shown = { gap: null as LastGap | null, count: 0 }
  const run = () =>
    new Gaps(shown.gap, (gap, isNew) => {
      shown.gap = gap
      if (isNew) shown.count++
    })
  return { shown, run }
}

test('of two gaps the first is shown until the receiver was told of it, and then the second', () => {
  const { shown, run } = openShown()
  const gaps = run()
  gaps.met(first)
  gaps.met(second)
  assert.deepEqual(shown, { gap: { ...first, told: 'not_yet' }, count: 1 })
  gaps.told('yes')
  assert.deepEqual(shown, { gap: { ...second, told: 'not_yet' }, count: 2 })
  gaps.told('never')
  assert.deepEqual(shown, { gap: { ...second, told: 'never' }, count: 2 })
  gaps.met({ ...first, from: 'events~20' })
  gaps.told('yes')
  assert.deepEqual(shown, { gap: { ...first, from: 'events~20', told: 'yes' }, count: 3 })
})

test('gaps that the next run meets again are counted once', () => {
  const { shown, run } = openShown()
  const before = run()
  before.met(first)
  before.met(second)
  // It begins with the one that the receiver was not told of.
  const next = run()
  next.met(first)
  next.met(second)
  assert.equal(shown.count, 1)
  next.told('yes')
  assert.deepEqual(shown, { gap: { ...second, told: 'not_yet' }, count: 2 })
  const last = run()
  last.met(second)
  last.told('yes')
  assert.deepEqual(shown, { gap: { ...second, told: 'yes' }, count: 2 })
})

test('a gap is owed as long as nobody was told of it, and the position stands before it', () => {
  const lastGap = { ...first, told: 'not_yet' } as const
  assert.equal(owedGap({ position: first.from, lastGap }), lastGap)
  // What comes before it is to be sent again.
  assert.equal(owedGap({ position: 'events~0', lastGap }), undefined)
  for (const told of ['yes', 'never'] as const)
    assert.equal(owedGap({ position: first.from, lastGap: { ...first, told } }), undefined)
  assert.equal(owedGap({ position: first.from, lastGap: null }), undefined)
})

test('damage is the same where it is of one partition, from one event to one, wherever the others stand', () => {
  // Positions as a stream reads them: offsets of two partitions, or those of another log.
  const slots = {
    parse: (text: string) =>
      text === 'another log'
        ? ({ kind: 'epoch' } as const)
        : ({ kind: 'ok', vector: Float64Array.from(text.split(' '), Number) } as const),
  }
  const gapOf = (from: readonly number[], to: readonly number[]) => ({
    from: from.join(' '),
    to: to.join(' '),
  })
  const known = gapOf([5, 2], [5, 4])
  const isSame = (from: readonly number[], to: readonly number[]) =>
    isSameDamage(known, gapOf(from, to), slots)
  assert.ok(isSame([5, 2], [5, 4]))
  assert.ok(isSame([9, 2], [9, 4]))
  assert.ok(!isSame([5, 2], [5, 6]), 'it reaches further')
  assert.ok(!isSame([5, 3], [5, 4]), 'it begins elsewhere')
  assert.ok(!isSame([2, 5], [4, 5]), 'it is of another partition')
  const another = { from: 'another log', to: 'another log' }
  assert.ok(!isSameDamage(another, gapOf([5, 2], [5, 4]), slots))
})
