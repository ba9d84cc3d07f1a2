import { randomUUID } from 'node:crypto'
import { test } from 'node:test'
import fc from 'fast-check'
import type { EventLog, NewRecord } from './log.ts'
import { LogModel } from './model.ts'
import { aRecord, fingerprintOf, freshTopic, readUntil } from './suite-records.ts'

// What a test run does, as data that fast-check can make smaller. Topics, keys and earlier ids are numbers that are
// taken modulo what there is, so that a smaller run still makes sense.
interface PlannedRecord {
  readonly topic: number
  readonly key: number
  readonly text: string
  /** `again` sends an earlier record as it was, `altered` its id with another content, `unremembered` no fingerprint. */
  readonly id: 'new' | 'unremembered' | { readonly kind: 'again' | 'altered'; readonly earlier: number }
}

type Step =
  | { readonly kind: 'append'; readonly calls: readonly (readonly PlannedRecord[])[] }
  | { readonly kind: 'read'; readonly topic: number; readonly partition: number; readonly at: number }
  | { readonly kind: 'trim'; readonly topic: number; readonly partition: number; readonly at: number }
  | { readonly kind: 'reopen' }

const plannedRecord: fc.Arbitrary<PlannedRecord> = fc.record({
  topic: fc.nat(1),
  key: fc.nat(7),
  text: fc.string({ unit: 'grapheme', maxLength: 40 }),
  id: fc.oneof(
    { weight: 5, arbitrary: fc.constant('new' as const) },
    { weight: 1, arbitrary: fc.constant('unremembered' as const) },
    {
      weight: 3,
      arbitrary: fc.record({
        kind: fc.constantFrom('again' as const, 'altered' as const),
        earlier: fc.nat(50),
      }),
    },
  ),
})

const place = { topic: fc.nat(1), partition: fc.nat(2), at: fc.double({ min: 0, max: 1, noNaN: true }) }

const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof(
    {
      weight: 6,
      arbitrary: fc.record({
        kind: fc.constant('append' as const),
        calls: fc.array(fc.array(plannedRecord, { maxLength: 12 }), { minLength: 1, maxLength: 5 }),
      }),
    },
    { weight: 3, arbitrary: fc.record({ kind: fc.constant('read' as const), ...place }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('trim' as const), ...place }) },
    { weight: 1, arbitrary: fc.constant({ kind: 'reopen' as const }) },
  ),
  { minLength: 1, maxLength: 12 },
)

/** Registers one property test: any series of steps on the driver is one that the plain model allows. */
export function modelSuite(open: () => Promise<EventLog>, { runs = 25 }: { runs?: number } = {}): void {
  test('any appends, repeats, reads, trims and reopenings are such as the plain model allows', async () => {
    await fc.assert(
      fc.asyncProperty(steps, async (planned) => {
        const world = await openWorld(open)
        try {
          for (const step of planned) await world.take(step)
          await world.readEverything()
        } finally {
          await world.log[Symbol.asyncDispose]()
        }
      }),
      // A run costs real topics on a real engine: smaller examples are looked for, but not for minutes.
      { numRuns: runs, interruptAfterTimeLimit: 60_000, markInterruptAsFailure: false },
    )
  })
}

const partitionCounts = [3, 1] as const

async function openWorld(open: () => Promise<EventLog>) {
  const topics = partitionCounts.map((partitions) => ({ name: freshTopic(), partitions }))
  const world = { log: await open() }
  await world.log.declare(topics)
  const model = new LogModel(world.log.can.dedupe)
  for (const { name, partitions } of topics) model.declare(name, partitions)
  const sent: NewRecord[] = []

  const pick = (topic: number, partition: number, at: number) => {
    const { name, partitions } = topics[topic] ?? { name: '', partitions: 1 }
    const { start, end } = model.range(name, partition % partitions)
    return {
      topic: name,
      partition: partition % partitions,
      offset: start + Math.round(at * (end - start)),
      end,
    }
  }
  const make = (plan: PlannedRecord): NewRecord => {
    const topic = topics[plan.topic]?.name ?? ''
    const key = `key ${plan.key} é`
    const properties = { text: plan.text, salt: randomUUID() }
    if (typeof plan.id === 'string') return aRecord(topic, key, { properties, remembered: plan.id === 'new' })
    const earlier = sent[plan.id.earlier % sent.length]
    if (!earlier?.fingerprint) return aRecord(topic, key, { properties })
    return plan.id.kind === 'again' ? earlier : { ...earlier, fingerprint: fingerprintOf(randomUUID()) }
  }
  const append = async (calls: readonly (readonly PlannedRecord[])[]) => {
    const made = calls.map((call) => call.map(make))
    // All at the same time: the driver may group them, split them and find repeats among them.
    const outcomes = await Promise.all(made.map((records) => world.log.append(records)))
    model.settle(made.map((records, index) => ({ records, outcomes: outcomes[index] ?? [] })))
    sent.push(...made.flat())
  }
  const read = async (at: { topic: string; partition: number; offset: number; end: number }) => {
    const from = new Map([[at.partition, at.offset]])
    const batches = await readUntil(world.log, at.topic, from, new Map([[at.partition, at.end]]))
    model.checkRead(
      at,
      batches.flatMap(({ records }) => records),
    )
  }
  const trim = async (at: { topic: string; partition: number; offset: number }) => {
    const below = new Map([[at.partition, at.offset]])
    model.trim(at.topic, below, await world.log.trim(at.topic, below))
  }
  const take = async (step: Step) => {
    if (step.kind === 'append') await append(step.calls)
    if (step.kind === 'read') await read(pick(step.topic, step.partition, step.at))
    if (step.kind === 'trim') await trim(pick(step.topic, step.partition, step.at))
    if (step.kind === 'reopen') {
      await world.log[Symbol.asyncDispose]()
      world.log = await open()
    }
    for (const { name } of topics) model.checkBounds(await world.log.bounds(name))
  }
  const readEverything = async () => {
    for (const [topic, { partitions }] of topics.entries())
      for (let partition = 0; partition < partitions; partition++) await read(pick(topic, partition, 0))
  }
  return Object.assign(world, { take, readEverything })
}
