import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { eventually } from '@pulse/dev/services/eventually'
import { findPostgres, startPostgres, startStandby } from '@pulse/dev/services/postgres'
import type pg from 'pg'
import { type HeldPartition, joinGroup } from '../groups.ts'
import type { AppendOutcome, LogBatch, RecordPosition } from '../log.ts'
import { appendAll, aRecord, freshTopic, inTime, logError, nextBatch, readAll } from '../suite-records.ts'
import { startCutProxy } from './cut-proxy.ts'
import { openPostgresLog } from './postgres.ts'
import { freshDatabase, testOptions, withClient } from './postgres-engine.ts'

const bin = await findPostgres()
const skip = bin ? false : 'there is no PostgreSQL to start'
const tries = 15_000

const portOf = (address: string) => ({ host: '127.0.0.1', port: Number(new URL(address).port) })

const withPort = (address: string, port: number): pg.ClientConfig => {
  const url = new URL(address)
  url.port = String(port)
  return { connectionString: url.href }
}

/** A primary with an asynchronous standby, and an address that leads to one of them, as a service with a failover has. */
async function openWorld() {
  const stack = new AsyncDisposableStack()
  const ended = new AbortController()
  const primary = stack.use(await startPostgres(bin ?? ''))
  const direct = (await freshDatabase(primary.address)).connectionString ?? ''
  const standby = stack.use(await startStandby(bin ?? '', primary))
  const proxy = stack.use(await startCutProxy(portOf(primary.address)))
  const atStandby = withPort(direct, portOf(standby.address).port)
  return {
    ...{ primary, standby, proxy, atStandby, signal: ended.signal },
    atPrimary: { connectionString: direct },
    connection: withPort(direct, proxy.port),
    /** Waits until the standby has a row for this. */
    arrived: (text: string) =>
      withClient(atStandby, (client) =>
        eventually(text, async () => (await client.query(text)).rows[0], tries),
      ),
    /** The primary ends in the middle of whatever it does, and the standby takes its place. */
    failOver: async () => {
      proxy.hold()
      await primary.stop('crash')
      proxy.cut()
      proxy.lead(portOf(standby.address))
      await standby.promote()
    },
    [Symbol.asyncDispose]: () => {
      ended.abort()
      return stack.disposeAsync()
    },
  }
}

const placeOf = (outcome: AppendOutcome | undefined): RecordPosition => {
  assert.ok(outcome && 'position' in outcome, JSON.stringify(outcome))
  return outcome.position
}

const waiting = `select 1 from pg_stat_activity where wait_event_type = 'Lock' and query like '%log_heads%'
  and datname = current_database() and pid <> pg_backend_pid()`

describe('the postgres log when an asynchronous standby takes over under running servers', { skip }, () => {
  test('what was lost is taken again, in a new epoch, and no offset of the old one passes for one of the new', async () => {
    await using world = await openWorld()
    const { standby, proxy, connection } = world
    await using log = await openPostgresLog({ ...testOptions(connection), lanes: 1 })
    await using other = await openPostgresLog({ ...testOptions(connection), lanes: 1 })
    const topic = freshTopic()
    await log.declare([{ name: topic, partitions: 1 }])
    const kept = [aRecord(topic, 'a'), aRecord(topic, 'a')]
    const lost = [aRecord(topic, 'a'), aRecord(topic, 'a'), aRecord(topic, 'a')]
    const [first] = await appendAll(log, kept)
    await world.arrived('select 1 from log_heads where next_offset = 2')
    await standby.disconnect()
    await appendAll(log, lost)
    assert.equal((await log.append(lost)).filter(({ kind }) => kind === 'repeat').length, 3)
    const { epoch } = await log.bounds(topic)
    const readFrom = (from: typeof log, offset: number, of?: number) =>
      from
        .read({ topic, offsets: new Map([[0, offset]]), ...(of && { epoch: of }) }, world.signal)
        [Symbol.asyncIterator]()
    const reader = readFrom(other, 0)
    assert.equal((await nextBatch(reader)).nextOffset, 2)
    assert.equal((await nextBatch(reader)).nextOffset, 5)
    const unread = reader.next().catch((error: unknown) => error)

    // One append is on its way while the primary ends; its lane asks the database that takes over.
    const late = aRecord(topic, 'a')
    const answer = await withClient(world.atPrimary, async (gate) => {
      gate.on('error', () => {})
      await gate.query('begin; lock table log_heads in exclusive mode')
      const appending = log.append([late])
      await eventually('it waits', async () => (await gate.query(waiting)).rows[0], tries)
      await world.failOver()
      return { appending }
    }).catch((error: unknown) => assert.fail(String(error)))
    proxy.release()
    const lateAt = placeOf((await answer.appending)[0])
    assert.ok(lateAt.epoch > epoch)
    assert.equal(lateAt.offset, 2)
    logError('unavailable')(await inTime(unread, 'the end of the read'))

    // The same ids: those that are there are found, and those that are not are no repeats for that they once were.
    const again = await log.append([...kept, ...lost])
    assert.deepEqual(
      again.map(({ kind }) => kind),
      ['repeat', 'repeat', 'appended', 'appended', 'appended'],
    )
    assert.deepEqual(
      again.map((outcome) => [placeOf(outcome).offset, placeOf(outcome).epoch]),
      [0, 1, 3, 4, 5].map((offset) => [offset, lateAt.epoch]),
    )
    assert.equal(first?.offset, 0)
    const ids = (await readAll(other, topic)).get(0)?.map(({ event }) => event.event_id)
    assert.deepEqual(
      ids,
      [...kept, late, ...lost].map(({ id }) => id),
    )
    // Another server finds the same epoch, and refuses what a reader has of the old one.
    assert.equal((await other.bounds(topic)).epoch, lateAt.epoch)
    await assert.rejects(inTime(readFrom(other, 5, epoch).next(), 'the refusal'), logError('out-of-range'))
    assert.equal((await nextBatch(readFrom(other, 3, lateAt.epoch))).epoch, lateAt.epoch)
  })

  test('a standby that is not promoted takes nothing and answers nothing', async () => {
    await using world = await openWorld()
    const topic = freshTopic()
    await using log = await openPostgresLog({ ...testOptions(world.connection), lanes: 1 })
    await log.declare([{ name: topic, partitions: 1 }])
    await appendAll(log, [aRecord(topic, 'a')])
    await world.arrived('select 1 from log_heads where next_offset = 1')
    world.proxy.lead(portOf(world.standby.address))
    await world.primary.stop('crash')
    const [outcome] = await log.append([aRecord(topic, 'a')])
    assert.ok(outcome?.kind === 'unknown' || outcome?.kind === 'failed', outcome?.kind)
    await assert.rejects(log.bounds(topic), logError('unavailable'))
    await assert.rejects(openPostgresLog(testOptions(world.connection)), logError('unavailable'))
    await world.standby.promote()
    await appendAll(log, [aRecord(topic, 'a')])
  })

  test('a group goes on where the log was cut off, and what it still held of the lost end moves no offset', async () => {
    await using world = await openWorld()
    const { standby, proxy, connection, atStandby } = world
    await using log = await openPostgresLog({ ...testOptions(connection), lanes: 1 })
    const topic = freshTopic()
    await log.declare([{ name: topic, partitions: 1 }])
    const seen: string[] = []
    const held = Promise.withResolvers<{ holding: HeldPartition; batch: LogBatch }>()
    const moves = Promise.withResolvers<void>()
    let isFirst = true
    await using _group = await joinGroup({
      ...{ name: topic, log, connection, topics: [topic], heartbeatMs: 100 },
      work: async (holding) => {
        for await (const batch of holding.batches()) {
          if (isFirst && batch.nextOffset > 2) {
            isFirst = false
            held.resolve({ holding, batch })
            return moves.promise
          }
          await withClient(connection, (tx) => commit(tx, holding, batch))
          holding.committed(batch.nextOffset)
          seen.push(...batch.records.map(({ event }) => `${batch.epoch} ${event.event_id}`))
        }
      },
    })
    // Else a failure would leave the group waiting for its work.
    using _moves = { [Symbol.dispose]: () => moves.resolve() }
    const kept = [aRecord(topic, 'a'), aRecord(topic, 'a')]
    const lost = [aRecord(topic, 'a'), aRecord(topic, 'a')]
    await appendAll(log, kept)
    await world.arrived('select 1 from log_group_partitions where next_offset = 2')
    await standby.disconnect()
    await appendAll(log, lost)
    const { holding, batch } = await held.promise
    await world.failOver()
    // Nobody has looked at the new database yet: it has the old epoch, but not these offsets.
    const lateCommit = () => withClient(atStandby, (tx) => commit(tx, holding, batch))
    await assert.rejects(lateCommit(), logError('fenced'))
    proxy.release()
    const others = [aRecord(topic, 'a'), aRecord(topic, 'a'), aRecord(topic, 'a')]
    const appended = await eventually('it appends', () => appendAll(log, others), tries)
    assert.deepEqual(
      appended.map(({ offset }) => offset),
      [2, 3, 4],
    )
    // By now it has such offsets, but they are other events.
    await assert.rejects(lateCommit(), logError('fenced'))
    moves.resolve()
    await eventually('the group has read on', async () => seen.length >= 5 || undefined, tries)
    assert.deepEqual(
      seen.slice(2),
      others.map(({ id }) => `${appended[0]?.epoch} ${id}`),
    )
  })
})

async function commit(tx: pg.Client, holding: HeldPartition, batch: LogBatch): Promise<void> {
  await tx.query('begin')
  await holding.commit(tx, batch.nextOffset, { processed: batch.records.length })
  await tx.query('commit')
}
