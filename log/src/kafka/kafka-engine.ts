import assert from 'node:assert/strict'
import { open } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import {
  Admin,
  ConfigResourceTypes,
  type ConfigResourceTypeValue,
  IncrementalAlterConfigOperationTypes,
} from '@platformatic/kafka'
import { findKafka, startKafka } from '@pulse/dev/services/kafka'
import type { SuiteEngine } from '../log.suite.ts'
import { openKafkaLog } from './kafka.ts'

/** A broker for the suite alone, with the hands that the suite needs on it. */
export async function startKafkaEngine(): Promise<SuiteEngine> {
  const broker = await startKafka(await findKafka())
  const brokers = [broker.address]
  return {
    open: () => openKafkaLog({ brokers, patienceMs: 1_500 }),
    stop: (how) => broker.stop(how),
    start: () => broker.start(),
    corrupt: (topic, partition, offset) =>
      flipByte(join(broker.dataFolder, `${topic}-${partition}`, '00000000000000000000.log'), offset),
    recreate: async ({ name, partitions }) => {
      const admin = new Admin({ clientId: 'pulse-suite', bootstrapBrokers: brokers })
      try {
        await admin.deleteTopics({ topics: [name] })
        await admin.createTopics({ topics: [name], partitions, replicas: 1 })
        await untilKnown(admin, name)
      } finally {
        await admin.close()
      }
    },
    [Symbol.asyncDispose]: () => broker[Symbol.asyncDispose](),
  }
}

type Settings = Readonly<Record<string, string>>

/** What an operator may do to the topics of a cluster of one broker. */
export interface TopicHands extends AsyncDisposable {
  delete(topic: string): Promise<void>
  /** Changes settings of a topic; brokers take a moment to hear of it. */
  set(topic: string, settings: Settings): Promise<void>
  setBroker(settings: Settings): Promise<void>
}

/** Opens the hands of an operator on the broker at `host:port`, whose node id is 1. They reject with the client's error. */
export function openTopicHands(broker: string): TopicHands {
  const admin = new Admin({ clientId: 'pulse-test', bootstrapBrokers: [broker] })
  const set = async (resourceType: ConfigResourceTypeValue, resourceName: string, settings: Settings) => {
    const configs = Object.entries(settings).map(([name, value]) => ({
      ...{ name, value, configOperation: IncrementalAlterConfigOperationTypes.SET },
    }))
    await admin.incrementalAlterConfigs({ resources: [{ resourceType, resourceName, configs }] })
  }
  return {
    delete: async (topic) => {
      await admin.deleteTopics({ topics: [topic] })
    },
    set: (topic, settings) => set(ConfigResourceTypes.TOPIC, topic, settings),
    setBroker: (settings) => set(ConfigResourceTypes.BROKER, '1', settings),
    [Symbol.asyncDispose]: async () => {
      await admin.close()
    },
  }
}

/** Waits until brokers know of a new topic; what a client sees between deleting and making is not the suite's matter. */
async function untilKnown(admin: Admin, topic: string): Promise<void> {
  const deadline = Date.now() + 10_000
  while (Date.now() < deadline) {
    const metadata = await admin
      .metadata({ topics: [topic], forceUpdate: true, retries: 0 })
      .catch(() => undefined)
    if (metadata?.topics.get(topic)?.partitions.every(({ leader }) => leader >= 0)) return
    await sleep(20)
  }
  assert.fail(`topic ${topic} was made, but the broker does not know it`)
}

/** Flips a bit of the last byte of the batch that holds the offset, in a segment that begins at offset 0. */
async function flipByte(segment: string, offset: number): Promise<void> {
  await using file = await open(segment, 'r+')
  const bytes = await file.readFile()
  for (let at = 0; at < bytes.length; ) {
    const size = bytes.readInt32BE(at + 8) + 12
    const next = Number(bytes.readBigInt64BE(at)) + bytes.readInt32BE(at + 23) + 1
    if (offset < next) {
      const last = at + size - 1
      await file.write(Buffer.of((bytes[last] ?? 0) ^ 1), 0, 1, last)
      return
    }
    at += size
  }
  assert.fail(`offset ${offset} is not in ${segment}`)
}
