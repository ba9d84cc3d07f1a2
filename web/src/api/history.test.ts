import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { History } from '@pulse/client'
import { joinHistory, secondsToFetch } from './history.ts'

const columns = [
  'received_per_second',
  'processed_per_second',
  'failed_per_second',
  'duplicates_per_second',
  'rejected_per_second',
  'backlog_events',
  'backlog_seconds',
  'ack_p50_ms',
  'ack_p95_ms',
  'ack_p99_ms',
  'processing_p95_ms',
  'event_loop_p99_ms',
  'memory_bytes',
] as const

const history = (from: number, to: number, value: number): History => {
  const at = Array.from({ length: to - from + 1 }, (_, index) => from + index)
  const column = at.map(() => value)
  return {
    interval_seconds: 1,
    series: {
      at,
      ...(Object.fromEntries(columns.map((name) => [name, column])) as unknown as Omit<
        History['series'],
        'at'
      >),
    },
  }
}

test('a later answer wins where both know a second, and every column stays as long as the times', () => {
  const joined = joinHistory(history(100, 110, 1), history(109, 112, 2), 600)
  assert.deepEqual(joined.series.at, [100, 101, 102, 103, 104, 105, 106, 107, 108, 109, 110, 111, 112])
  assert.deepEqual(joined.series.ack_p95_ms.slice(-5), [1, 2, 2, 2, 2])
  for (const name of columns) assert.equal(joined.series[name].length, joined.series.at.length, name)
})

test('points older than the span go', () => {
  const joined = joinHistory(history(100, 160, 1), history(160, 162, 2), 30)
  assert.equal(joined.series.at[0], 133)
  assert.equal(joined.series.at.length, 30)
})

test('a gap longer than the span leaves only what is fresh, and an empty answer changes nothing', () => {
  assert.deepEqual(
    joinHistory(history(100, 110, 1), history(900, 910, 2), 60).series.at,
    history(900, 910, 2).series.at,
  )
  assert.deepEqual(joinHistory(history(100, 110, 1), history(5, 4, 2), 60), history(100, 110, 1))
})

test('only what is missing is fetched', () => {
  assert.equal(secondsToFetch(undefined, 1000, 600), 600)
  assert.equal(secondsToFetch(history(100, 110, 1), 111.2, 600), 4)
  assert.equal(secondsToFetch(history(100, 110, 1), 110, 600), 3)
  assert.equal(secondsToFetch(history(100, 110, 1), 9000, 600), 600)
})
