import { after } from 'node:test'
import { fileURLToPath } from 'node:url'
import { openServices } from '@pulse/dev/services'
import { freshDatabase } from '@pulse/dev/services/postgres'
import pg from 'pg'
import { groupSuite } from '../groups.suite.ts'
import { eventLogSuite } from '../log.suite.ts'
import { migrate } from '../migrate.ts'
import { openOnce } from '../open-once.ts'
import { openKafkaLog } from './kafka.ts'
import { startKafkaEngine } from './kafka-engine.ts'

const services = await openServices(['kafka', 'postgres'])
after(() => services[Symbol.asyncDispose]())

const open = () => openKafkaLog({ brokers: services.address('kafka').split(',') })

eventLogSuite('kafka', open, {
  skip: services.skip('kafka'),
  modelRuns: 15,
  engine: startKafkaEngine,
})

// The records are in Kafka, the offsets of groups in PostgreSQL.
const openGroupWorld = async () => {
  await using stack = new AsyncDisposableStack()
  const database = stack.use(await freshDatabase(services.address('postgres')))
  const connection = { connectionString: database.url }
  const client = new pg.Client(connection)
  await client.connect()
  const folders = [fileURLToPath(new URL('../../migrations', import.meta.url))]
  await migrate(client, [{ namespace: 'log', folders, schema: 'pulse' }]).finally(() => client.end())
  const log = stack.use(await openOnce(open).open())
  const opened = stack.move()
  return { log, connection, [Symbol.asyncDispose]: () => opened.disposeAsync() }
}

groupSuite('kafka', openGroupWorld, { skip: services.skip('kafka', 'postgres') })
