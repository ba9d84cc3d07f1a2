import { after } from 'node:test'
import { openServices } from '@pulse/dev/services'
import { groupSuite } from '../groups.suite.ts'
import { eventLogSuite } from '../log.suite.ts'
import { openPostgresLog } from './postgres.ts'
import { freshDatabase, startPostgresEngine, testOptions } from './postgres-engine.ts'

const services = await openServices(['postgres'])
after(() => services[Symbol.asyncDispose]())
const skip = services.skip('postgres')
const connection = skip ? {} : await freshDatabase(services.address('postgres'))

eventLogSuite('postgres', () => openPostgresLog(testOptions(connection)), {
  skip,
  engine: startPostgresEngine,
})

groupSuite(
  'postgres',
  async () => {
    const own = await freshDatabase(services.address('postgres'))
    const log = await openPostgresLog(testOptions(own))
    return { log, connection: own, [Symbol.asyncDispose]: () => log[Symbol.asyncDispose]() }
  },
  { skip },
)
