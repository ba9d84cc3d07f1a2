import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Backlog } from './backlog.ts'
import { History, historyColumns, historySecondsMax } from './history.ts'
import { createObservations } from './observations.ts'
import { Sampler } from './sampler.ts'

const openSampler = (backlog: () => Backlog | undefined = () => undefined) => {
  const observed = createObservations()
  const history = new History()
  const sampler = new Sampler({
    observed,
    history,
    backlog,
    takeEventLoopP99Ms: () => 1.5,
    memoryBytes: () => 1_000,
  })
  return { observed, history, sampler }
}

test('each second has the events that were counted in it', () => {
  const { observed, history, sampler } = openSampler(() => ({ events: 7, seconds: 2, parked: 1 }))
  sampler.sample(1_000)
  observed.received('a', 5)
  observed.acknowledged(10, 5)
  sampler.sample(1_001)
  observed.processed('a', 5, 20)
  sampler.sample(1_002)
  const series = history.read(2)
  assert.deepEqual(series.at, [1_000, 1_001])
  assert.deepEqual(series.received_per_second, [5, 0])
  assert.deepEqual(series.processed_per_second, [0, 5])
  assert.deepEqual(series.backlog_events, [7, 7])
  assert.deepEqual(series.backlog_seconds, [2, 2])
  assert.deepEqual(
    series.ack_p95_ms.map((ms) => ms && Math.round(ms)),
    [10, null],
  )
  assert.deepEqual(series.memory_bytes, [1_000, 1_000])
})

test('a stalled process spreads what it counted, so that the area under the line is the number of events', () => {
  const { observed, history, sampler } = openSampler()
  sampler.sample(500)
  observed.received('a', 40)
  sampler.sample(504)
  const series = history.read(4)
  assert.deepEqual(series.at, [500, 501, 502, 503])
  assert.deepEqual(series.received_per_second, [10, 10, 10, 10])
  assert.deepEqual(series.memory_bytes, [null, null, null, 1_000])
})

test('a second that is sampled twice keeps its counts for the next', () => {
  const { observed, history, sampler } = openSampler()
  sampler.sample(10)
  observed.received('a', 1)
  sampler.sample(10)
  sampler.sample(11)
  assert.deepEqual(history.read(1).received_per_second, [1])
})

test('all columns are equally long, at most 900 seconds, and follow a clock that is set', () => {
  const { history, sampler } = openSampler()
  for (let second = 1; second <= 2_000; second++) sampler.sample(second)
  const series = history.read(5_000)
  assert.equal(series.at.length, historySecondsMax)
  assert.equal(series.at.at(-1), 1_999)
  for (const name of historyColumns) assert.equal(series[name].length, historySecondsMax, name)
  sampler.sample(100)
  assert.deepEqual(history.read(600).at, [99])
  sampler.sample(1_000_000)
  assert.deepEqual(history.read(600).at, [999_999])
})

test('percentiles of the last minute forget what is older', () => {
  const { observed, sampler } = openSampler()
  sampler.sample(600)
  observed.acknowledged(500, 10)
  for (let second = 601; second <= 630; second++) sampler.sample(second)
  observed.acknowledged(5, 10)
  assert.equal(observed.ack.recent().count, 20)
  for (let second = 631; second <= 665; second++) sampler.sample(second)
  assert.equal(observed.ack.recent().count, 10)
  sampler.sample(5_000)
  assert.equal(observed.ack.recent().count, 0)
})
