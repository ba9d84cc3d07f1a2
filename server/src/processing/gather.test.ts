import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { LogBatch } from '@pulse/log'
import { gather } from './gather.ts'

const batch = (nr: number, records = 10) =>
  ({
    nextOffset: nr,
    records: Array.from({ length: records }, () => ({ value: '12345' })),
  }) as unknown as LogBatch
const upTo = (records: number, chars = 1_000_000) => ({ records, chars, paceMs: 0 })

async function* some(
  count: number,
  pause?: (nr: number) => Promise<void> | undefined,
): AsyncGenerator<LogBatch> {
  for (let nr = 1; nr <= count; nr++) {
    const wait = pause?.(nr)
    if (wait) await wait
    yield batch(nr)
  }
}

const numbers = async (rounds: AsyncIterable<readonly LogBatch[]>) => {
  const all: number[][] = []
  for await (const round of rounds) all.push(round.map((each) => each.nextOffset))
  return all
}

test('batches that are there go together, up to the size of a round, in order', async () => {
  assert.deepEqual(await numbers(gather(some(5), upTo(1_000))), [[1, 2, 3, 4, 5]])
  assert.deepEqual(await numbers(gather(some(5), upTo(20))), [[1, 2], [3, 4], [5]])
  assert.deepEqual(await numbers(gather(some(5), upTo(1_000, 101))), [
    [1, 2, 3],
    [4, 5],
  ])
})

test('a round does not wait for what has not come', async () => {
  let release = () => {}
  const gate = new Promise<void>((resolve) => {
    release = resolve
  })
  const rounds = gather(
    some(3, (nr) => (nr === 3 ? gate : undefined)),
    upTo(1_000),
  )
  assert.deepEqual((await rounds.next()).value?.length, 2)
  release()
  assert.deepEqual((await rounds.next()).value?.length, 1)
  assert.equal((await rounds.next()).done, true)
})

test('what was read before a failure is handed on first, then the failure is thrown', async () => {
  const failing = some(3, (nr) => (nr === 3 ? Promise.reject(new Error('gone')) : undefined))
  const rounds = gather(failing, upTo(10))
  assert.equal((await rounds.next()).value?.[0]?.nextOffset, 1)
  assert.equal((await rounds.next()).value?.[0]?.nextOffset, 2)
  await assert.rejects(rounds.next(), /gone/)
})

test('leaving early ends the reading', async () => {
  let ended = false
  async function* endless() {
    try {
      for (let nr = 1; ; nr++) yield batch(nr)
    } finally {
      ended = true
    }
  }
  for await (const _ of gather(endless(), upTo(10))) break
  assert.equal(ended, true)
})

test('while it keeps up with the log, nothing is fetched before the next round is due', async () => {
  let fetched = 0
  async function* live(): AsyncGenerator<LogBatch> {
    for (;;) {
      fetched++
      yield { ...batch(fetched), caughtUp: true }
    }
  }
  const rounds = gather(live(), { ...upTo(1_000), paceMs: 50 })
  assert.equal((await rounds.next()).value?.length, 1)
  const from = performance.now()
  const second = rounds.next()
  await new Promise((resolve) => setImmediate(resolve))
  assert.equal(fetched, 1, 'the log is left alone')
  assert.equal((await second).value?.length, 1)
  assert.ok(performance.now() - from > 40)
  await rounds.return(undefined)
})
