import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import { after, before, describe, test } from 'node:test'
import { missingBecause } from '@pulse/dev/services'
import { findKafka, type Kafka, startKafka } from '@pulse/dev/services/kafka'
import { appendAll, aRecord, freshTopic, positionOfAppended, readAll } from '../suite-records.ts'
import { openKafkaLog } from './kafka.ts'

// The case that a killed broker shows only now and then: a batch is stored, and its answer never arrives. Between
// the log and a real broker stands a wire that loses answers when told.
interface Wire extends AsyncDisposable {
  readonly port: number
  /** Lets this many produce requests reach the broker, ends their connections instead of answering, then works again. */
  loseAnswers(count: number): void
  /** Answers that were lost since the wire was made. */
  lost(): number
  /** From now on nobody gets through to the broker. */
  cut(): Promise<void>
  mend(): Promise<void>
}

const produceKey = 0

async function openWire(brokerPort: () => number): Promise<Wire> {
  const sockets = new Set<Socket>()
  let toLose = 0
  let lost = 0
  const server = createServer((client) => {
    const broker = connect(brokerPort(), '127.0.0.1')
    let losing = false
    for (const [one, other] of [
      [client, broker],
      [broker, client],
    ] as const) {
      sockets.add(one)
      one
        .on('error', () => undefined)
        .on('close', () => {
          sockets.delete(one)
          other.destroy()
        })
    }
    client.on('data', (request) => {
      // A request is written at once, and on loopback a small one comes at once: length 4, key 2, version 2.
      if (toLose > 0 && request.length > 8 && request.readInt16BE(4) === produceKey) {
        toLose -= 1
        losing = true
      }
      broker.write(request)
    })
    broker.on('data', (answer) => {
      if (losing) lost += 1
      if (losing) client.destroy()
      else client.write(answer)
    })
  })
  const listen = async (port: number) => {
    server.listen(port, '127.0.0.1')
    await once(server, 'listening')
  }
  const cut = async () => {
    const closed = new Promise((done) => server.close(done))
    for (const socket of sockets) socket.destroy()
    await closed
  }
  await listen(0)
  const address = server.address()
  assert.ok(address && typeof address === 'object')
  return {
    port: address.port,
    loseAnswers: (count) => {
      toLose = count
    },
    lost: () => lost,
    cut,
    mend: () => listen(address.port),
    [Symbol.asyncDispose]: cut,
  }
}

const program = await findKafka().catch((error: unknown) => missingBecause('kafka', error))

describe('the kafka log when answers are lost', {
  skip: typeof program === 'string' ? program : false,
}, () => {
  let kafka: Kafka | undefined
  let wire: Wire | undefined
  before(async () => {
    assert.ok(typeof program !== 'string')
    let port = 0
    wire = await openWire(() => port)
    kafka = await startKafka(program, { advertisedPort: wire.port })
    port = Number(kafka.address.split(':')[1])
  })
  after(async () => {
    await wire?.[Symbol.asyncDispose]()
    await kafka?.[Symbol.asyncDispose]()
  })
  const open = async (patienceMs: number) => {
    assert.ok(wire)
    const log = await openKafkaLog({ brokers: [`127.0.0.1:${wire.port}`], patienceMs })
    const topic = freshTopic()
    await log.declare([{ name: topic, partitions: 1 }])
    const [first] = await appendAll(log, [aRecord(topic, 'a')])
    assert.equal(first?.offset, 0)
    return { log, topic, wire }
  }
  const storedIds = async (log: Parameters<typeof readAll>[0], topic: string) =>
    (await readAll(log, topic)).get(0)?.map(({ event }) => event.event_id)

  test('a batch whose answer is lost, also several times, is stored once and keeps its order', async () => {
    const { log, topic, wire: between } = await open(10_000)
    const before = between.lost()
    between.loseAnswers(3)
    const records = Array.from({ length: 50 }, () => aRecord(topic, 'a'))
    const outcomes = await Promise.all(records.map((record) => log.append([record])))
    assert.ok(between.lost() - before >= 3, 'the wire lost nothing')
    const offsets = outcomes.flat().map((outcome) => positionOfAppended(outcome).offset)
    assert.deepEqual(
      offsets,
      Array.from({ length: 50 }, (_, index) => index + 1),
    )
    assert.deepEqual(
      (await storedIds(log, topic))?.slice(1),
      records.map(({ id }) => id),
    )
    await log[Symbol.asyncDispose]()
  })

  test('a stored batch whose answer never comes is unknown, not failed, and what was never sent is failed', async () => {
    const { log, topic, wire: between } = await open(800)
    between.loseAnswers(1_000)
    const sent = aRecord(topic, 'a')
    const [outcome] = await log.append([sent])
    assert.equal(outcome?.kind, 'unknown')
    between.loseAnswers(0)
    assert.ok((await storedIds(log, topic))?.includes(sent.id), 'the broker had stored it')

    await between.cut()
    // Whatever is tried first finds out that the connections are gone.
    await assert.rejects(log.bounds(topic), { code: 'unavailable' })
    const never = aRecord(topic, 'a')
    assert.equal((await log.append([never]))[0]?.kind, 'failed')
    await between.mend()
    const after = aRecord(topic, 'a')
    positionOfAppended((await log.append([after]))[0] ?? assert.fail('no outcome'))
    const ids = (await storedIds(log, topic)) ?? []
    assert.deepEqual(ids.slice(1), [sent.id, after.id], 'once each, in order, and what failed is not there')
    await log[Symbol.asyncDispose]()
  })
})
