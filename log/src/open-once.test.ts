import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import type { AppendOutcome, Capabilities, EventLog, LogBatch, NewRecord } from './log.ts'
import { LogError } from './log.ts'
import { openOnce } from './open-once.ts'

// The wrapper is judged on real drivers by the suite. What needs a clock that we turn (an opening that fails, an
// append that has not come back) is judged here, on a log whose answers the test gives by hand.
class HandDrivenLog implements EventLog {
  readonly can: Capabilities = { driver: 'hand', dedupe: false, trim: false, durability: 'unsynced' }
  readonly appends: PromiseWithResolvers<readonly AppendOutcome[]>[] = []
  disposed = 0

  append(_records: readonly NewRecord[]): Promise<readonly AppendOutcome[]> {
    const append = Promise.withResolvers<readonly AppendOutcome[]>()
    this.appends.push(append)
    return append.promise
  }

  async *read(_from: unknown, signal: AbortSignal): AsyncIterable<LogBatch> {
    if (signal.aborted) return
    const records = [] as const
    yield { epoch: 1, topic: 't', partition: 0, records, nextOffset: 0, appendedAt: 0 }
    await new Promise((resolve) => signal.addEventListener('abort', resolve))
  }

  bounds = () => Promise.resolve({ topic: 't', epoch: 1, partitions: [] })
  declare = () => Promise.resolve()
  trim = () => Promise.resolve(new Map<number, number>())

  async [Symbol.asyncDispose](): Promise<void> {
    this.disposed += 1
  }
}

const from = { topic: 't', offsets: new Map([[0, 0]]) }
const never = new AbortController().signal
const isClosed = (error: unknown) => error instanceof LogError && error.code === 'closed'

test('callers at the same time share one opening', async () => {
  let openings = 0
  const life = openOnce(async () => {
    openings += 1
    await turn()
    return new HandDrivenLog()
  })
  const [one, two] = await Promise.all([life.open(), life.open()])
  assert.equal(one, two)
  assert.equal(await life.open(), one)
  assert.equal(openings, 1)
})

test('a failed opening is told to those who waited, and the next call tries again', async () => {
  let openings = 0
  const life = openOnce(async () => {
    openings += 1
    await turn()
    if (openings === 1) throw new LogError('unavailable', 'not yet')
    return new HandDrivenLog()
  })
  const first = await Promise.allSettled([life.open(), life.open()])
  assert.deepEqual(
    first.map(({ status }) => status),
    ['rejected', 'rejected'],
  )
  assert.equal(openings, 1)
  await life.open()
  assert.equal(openings, 2)
})

test('close waits for accepted appends before it disposes the driver, and refuses new ones', async () => {
  const driver = new HandDrivenLog()
  const log = await openOnce(async () => driver).open()
  const accepted = log.append([])
  let closed = false
  const closing = log[Symbol.asyncDispose]().then(() => {
    closed = true
  })
  await turn()
  await assert.rejects(log.append([]), isClosed)
  assert.equal(driver.appends.length, 1, 'the refused append must not reach the driver')
  assert.equal(closed, false)
  assert.equal(driver.disposed, 0)
  driver.appends[0]?.resolve([])
  assert.deepEqual(await accepted, [])
  await closing
  assert.equal(driver.disposed, 1)
})

test('closing twice, also at the same time, disposes the driver once', async () => {
  const driver = new HandDrivenLog()
  const life = openOnce(async () => driver)
  const log = await life.open()
  await Promise.all([log[Symbol.asyncDispose](), life[Symbol.asyncDispose]()])
  await life[Symbol.asyncDispose]()
  assert.equal(driver.disposed, 1)
})

test('a log that is closed while it opens is let go and given to nobody', async () => {
  const driver = new HandDrivenLog()
  const opened = Promise.withResolvers<EventLog>()
  const life = openOnce(() => opened.promise)
  const waiting = life.open()
  const closing = life[Symbol.asyncDispose]()
  opened.resolve(driver)
  await assert.rejects(waiting, isClosed)
  await closing
  assert.equal(driver.disposed, 1)
  await assert.rejects(life.open(), isClosed)
})

test('closing what was never opened opens nothing', async () => {
  const life = openOnce(() => assert.fail('opened'))
  await life[Symbol.asyncDispose]()
  await assert.rejects(life.open(), isClosed)
})

test('a read that waits ends with closed when the log closes, and a paused one at its next step', async () => {
  const driver = new HandDrivenLog()
  const log = await openOnce(async () => driver).open()
  const waiting = log.read(from, never)[Symbol.asyncIterator]()
  const paused = log.read(from, never)[Symbol.asyncIterator]()
  await waiting.next()
  await paused.next()
  const next = assert.rejects(waiting.next(), isClosed)
  await log[Symbol.asyncDispose]()
  await next
  await assert.rejects(paused.next(), isClosed)
  await assert.rejects(log.read(from, never)[Symbol.asyncIterator]().next(), isClosed)
})

test('a read returns, and does not throw, when its own signal aborts', async () => {
  const log = await openOnce(async () => new HandDrivenLog()).open()
  const abort = new AbortController()
  const read = log.read(from, abort.signal)[Symbol.asyncIterator]()
  await read.next()
  const next = read.next()
  abort.abort()
  assert.deepEqual(await next, { done: true, value: undefined })
})
