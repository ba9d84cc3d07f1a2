import assert from 'node:assert/strict'
import { test } from 'node:test'
import { PermanentError } from '../config/define-config.ts'
import { HandlerRegistry } from './handler-registry.ts'
import { afterFailure, backoffMs, failureOf, type Work } from './outcome.ts'

const policy = { attemptsMax: 4, baseMs: 1_000, maxMs: 5_000 }
const work = (attempts: number) => ({ attempts }) as Work

test('EF-08 delays grow exponentially up to their limit, with full jitter', () => {
  const most = (attempt: number) => backoffMs(policy, attempt, () => 1)
  assert.deepEqual([1, 2, 3, 4, 5].map(most), [1_000, 2_000, 4_000, 5_000, 5_000])
  assert.equal(
    backoffMs(policy, 3, () => 0.25),
    1_000,
  )
  assert.equal(
    backoffMs(policy, 3, () => 0),
    0,
  )
})

test('a failure is tried again until the attempts are used up; a permanent one never', () => {
  const failure = failureOf(new TypeError('no\0pe'), 'h')
  assert.deepEqual(failure, { errorClass: 'TypeError', message: 'nope', permanent: false, handler: 'h' })
  assert.equal(afterFailure(work(0), failure, policy).kind, 'parked')
  assert.equal(afterFailure(work(2), failure, policy).kind, 'parked')
  assert.equal(afterFailure(work(3), failure, policy).kind, 'dead')
  assert.equal(afterFailure(work(0), failureOf(new PermanentError('bad'), 'h'), policy).kind, 'dead')
  assert.equal(failureOf('a string', 'h').message, 'a string')
})

test('EF-48 a handler is found by its type, then the longest family, then *; a team’s own comes before the built-in', () => {
  const named = (name: string) => ({ [name]: () => ({ enriched: { by: name } }) })
  const registry = new HandlerRegistry({
    ...named('order.*'),
    ...named('order.item.*'),
    ...named('order.item.added'),
    ...named('purchase'),
  })
  assert.equal(registry.find('order.item.added').name, 'order.item.added')
  assert.equal(registry.find('order.item.removed').name, 'order.item.*')
  assert.equal(registry.find('order.placed').name, 'order.*')
  assert.equal(registry.find('orders').name, 'custom')
  assert.equal(registry.find('page_view').name, 'page_view')
  const mine = registry.find('purchase').handle
  assert.deepEqual(mine({} as never, {} as never), { enriched: { by: 'purchase' } })
  assert.equal(new HandlerRegistry(named('*')).find('orders').name, '*')
})
