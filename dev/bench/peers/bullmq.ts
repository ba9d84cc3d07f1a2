import { createNodeRedisClient, Queue, Worker } from 'bullmq'
import pg from 'pg'
import { createClient } from 'redis'
import type { PeerEvent, Places, Producer } from './program.ts'

const queueName = 'events'
const concurrency = 100
const connections = 10

// A finished job is removed: with the default, Redis would also have to keep every one of them.
const jobOptions = (event: PeerEvent) => ({ jobId: event.event_id, removeOnComplete: true, attempts: 3 })

async function connect(places: Places) {
  const client = createClient({ url: places.redisUrl })
  client.on('error', (error: Error) => process.stderr.write(`redis: ${error.message}\n`))
  await client.connect()
  return createNodeRedisClient(client)
}

/** Adds jobs. */
export async function openBullmqProducer(places: Places): Promise<Producer> {
  const queue = new Queue(queueName, { connection: await connect(places) })
  await queue.waitUntilReady()
  return {
    one: (event) => queue.add('event', event, jobOptions(event)),
    many: (events) =>
      queue.addBulk(events.map((event) => ({ name: 'event', data: event, opts: jobOptions(event) }))),
  }
}

/** Runs jobs: each writes its row. */
export async function openBullmqWorker(places: Places): Promise<void> {
  const pool = new pg.Pool({ ...places.database, max: connections })
  const worker = new Worker<PeerEvent>(
    queueName,
    async ({ data }) => {
      const values = [data.event_id, JSON.stringify(data)]
      const text = 'insert into bench_rows (event_id, event) values ($1, $2) on conflict do nothing'
      await pool.query({ name: 'row', text, values })
    },
    { connection: await connect(places), concurrency },
  )
  worker.on('error', (error) => process.stderr.write(`bullmq: ${error.message}\n`))
  await worker.waitUntilReady()
}
