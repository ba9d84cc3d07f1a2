import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { openServices } from '@pulse/dev/services'
import { eventually } from '@pulse/dev/services/eventually'
import { connect } from './connection.ts'
import { freshDatabase, withClient } from './postgres-engine.ts'
import { Tail } from './tail.ts'

const services = await openServices(['postgres'])
after(() => services[Symbol.asyncDispose]())
const skip = services.skip('postgres')

/** Counts how often a tail wakes who waits. */
async function watched(database: Parameters<typeof connect>[0], signal: AbortSignal) {
  // No looks by the clock, so that every waking has another cause.
  const tail = new Tail(() => connect(database, 'tail'), 3_600_000)
  await tail.listen()
  const seen = { tail, wakes: 0 }
  const watch = async () => {
    for (;;) {
      await tail.wait(signal)
      if (signal.aborted) return
      seen.wakes++
    }
  }
  void watch()
  return seen
}

test('an append wakes the readers of its own process once, and those of others by a notification', {
  skip,
}, async () => {
  const database = await freshDatabase(services.address('postgres'))
  const over = new AbortController()
  const own = await watched(database, over.signal)
  const other = await watched(database, over.signal)
  const woken = async (what: string, by: { readonly wakes: number }, wakes: number) =>
    assert.equal(
      await eventually(what, async () => (by.wakes >= wakes ? by.wakes : undefined), 10_000),
      wakes,
    )
  own.tail.grew(1)
  await woken('the other process is woken', other, 1)
  // Notifications come in the order of their commits: with this one here, the first would be here too.
  await withClient(database, (client) => client.query(`select pg_notify('pulse_log', '')`))
  await woken('both are woken by a third', other, 2)
  await woken('the own process is not woken by itself', own, 2)
  over.abort()
  await own.tail.close()
  await other.tail.close()
})
