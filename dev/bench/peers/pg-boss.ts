import pg from 'pg'
import { PgBoss } from 'pg-boss'
import type { PeerEvent, Places, Producer } from './program.ts'

const queueName = 'events'
const connections = 10
const batchSize = 100
const workers = 2

async function open(places: Places): Promise<PgBoss> {
  const boss = new PgBoss({ ...places.database, max: connections, useListenNotify: true })
  boss.on('error', (error: Error) => process.stderr.write(`pg-boss: ${error.message}\n`))
  await boss.start()
  // NOTIFY wakes its workers at once; without it they would ask every two seconds.
  if ((await boss.getQueue(queueName)) === null)
    await boss.createQueue(queueName, { notify: true, retryLimit: 3 })
  return boss
}

/** Sends jobs. */
export async function openPgBossProducer(places: Places): Promise<Producer> {
  const boss = await open(places)
  return {
    one: (event) => boss.send(queueName, event, { id: event.event_id }),
    many: (events) =>
      boss.insert(
        queueName,
        events.map((event) => ({ id: event.event_id, data: event })),
      ),
  }
}

/** Runs jobs, up to a hundred in one go: their rows are one statement. */
export async function openPgBossWorker(places: Places): Promise<void> {
  const pool = new pg.Pool({ ...places.database, max: connections })
  const boss = await open(places)
  await boss.work<PeerEvent>(
    queueName,
    { batchSize, localConcurrency: workers, pollingIntervalSeconds: 0.5, burstWhenBatchFull: true },
    async (jobs) => {
      await pool.query({
        name: 'rows',
        text: `insert into bench_rows (event_id, event)
               select * from unnest($1::uuid[], $2::jsonb[]) on conflict do nothing`,
        values: [jobs.map(({ data }) => data.event_id), jobs.map(({ data }) => JSON.stringify(data))],
      })
    },
  )
}
