import { after } from 'node:test'
import { openServices } from '@pulse/dev/services'
import { eventLogSuite } from '../log.suite.ts'
import { openKafkaLog } from './kafka.ts'
import { startKafkaEngine } from './kafka-engine.ts'

const services = await openServices(['kafka'])
after(() => services[Symbol.asyncDispose]())

eventLogSuite('kafka', () => openKafkaLog({ brokers: services.address('kafka').split(',') }), {
  skip: services.skip('kafka'),
  modelRuns: 15,
  engine: startKafkaEngine,
})
