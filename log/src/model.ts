import assert from 'node:assert/strict'
import type { AppendOutcome, LogRecord, NewRecord, RecordPosition, TopicBounds } from './log.ts'
import { partitionOf } from './murmur2.ts'

interface Remembered {
  readonly record: NewRecord
  readonly position: RecordPosition
}

/**
 * The obvious log: arrays and a map. It is the judge of drivers in `model.suite.ts` and no driver itself: it is told
 * what a driver answered and fails if the port's contract does not allow that answer.
 */
export class LogModel {
  readonly #topics = new Map<string, { starts: number[]; records: NewRecord[][] }>()
  readonly #ids = new Map<string, Remembered>()
  readonly #dedupe: boolean
  #epoch: number | undefined

  constructor(dedupe: boolean) {
    this.#dedupe = dedupe
  }

  declare(topic: string, partitions: number): void {
    const records = Array.from({ length: partitions }, (): NewRecord[] => [])
    this.#topics.set(topic, { starts: records.map(() => 0), records })
  }

  /**
   * Judges calls of `append` that ran at the same time, given in the order in which they were called. Which of two
   * keys comes first is the driver's choice; the order of one key, the partition and the offsets are not.
   */
  settle(calls: readonly { records: readonly NewRecord[]; outcomes: readonly AppendOutcome[] }[]): void {
    const lastOfKey = new Map<string, number>()
    const repeats: { record: NewRecord; outcome: AppendOutcome }[] = []
    for (const { records, outcomes } of calls) {
      assert.equal(outcomes.length, records.length)
      for (const [index, record] of records.entries()) {
        const outcome = outcomes[index]
        assert.ok(outcome)
        if (outcome.kind !== 'appended') {
          repeats.push({ record, outcome })
          continue
        }
        const place = `${record.topic} ${record.key}`
        assert.ok(outcome.position.offset > (lastOfKey.get(place) ?? -1), `key ${record.key} is out of order`)
        lastOfKey.set(place, outcome.position.offset)
        this.#append(record, outcome.position, outcome.receivedAt)
      }
    }
    for (const { record, outcome } of repeats) this.#checkRepeat(record, outcome)
    this.#checkGapless()
  }

  #append(record: NewRecord, position: RecordPosition, receivedAt: number): void {
    const topic = this.#topic(record.topic)
    assert.equal(position.topic, record.topic)
    assert.equal(position.partition, partitionOf(record.key, topic.records.length))
    assert.equal(receivedAt, record.receivedAt)
    this.#epoch ??= position.epoch
    const partition = topic.records[position.partition]
    assert.ok(partition)
    assert.equal(partition[position.offset], undefined, `offset ${position.offset} was given twice`)
    partition[position.offset] = record
    if (!this.#dedupe || record.fingerprint === undefined) return
    assert.equal(this.#ids.get(record.id), undefined, `id ${record.id} was appended twice`)
    this.#ids.set(record.id, { record, position })
  }

  #checkRepeat(record: NewRecord, outcome: AppendOutcome): void {
    assert.ok(outcome.kind === 'repeat' || outcome.kind === 'conflict', `the outcome is ${outcome.kind}`)
    const first = this.#ids.get(record.id)
    assert.ok(
      first && record.fingerprint,
      `id ${record.id} is called a ${outcome.kind}, but was never appended`,
    )
    const same = record.fingerprint === first.record.fingerprint
    assert.equal(outcome.kind, same ? 'repeat' : 'conflict')
    assert.deepEqual({ ...outcome.position }, { ...first.position })
    assert.equal(outcome.receivedAt, first.record.receivedAt)
  }

  #checkGapless(): void {
    for (const [name, { records }] of this.#topics)
      for (const [partition, list] of records.entries())
        for (let offset = 0; offset < list.length; offset++)
          assert.ok(list[offset], `${name}/${partition} has a gap at ${offset}`)
  }

  /** Where a partition starts and ends. */
  range(topic: string, partition: number): { start: number; end: number } {
    const { starts, records } = this.#topic(topic)
    return { start: starts[partition] ?? 0, end: records[partition]?.length ?? 0 }
  }

  checkBounds(bounds: TopicBounds): void {
    const { records } = this.#topic(bounds.topic)
    const expected = records.map((_, partition) => {
      const { start, end } = this.range(bounds.topic, partition)
      return { partition, start, end, since: start }
    })
    assert.deepEqual(
      bounds.partitions.map(({ partition, start, end, since }) => ({ partition, start, end, since })),
      expected,
    )
  }

  /** Judges what a read from `offset` to the end gave. */
  checkRead(place: { topic: string; partition: number; offset: number }, read: readonly LogRecord[]): void {
    const expected = this.#topic(place.topic).records[place.partition]?.slice(place.offset) ?? []
    assert.deepEqual(
      read.map(({ offset, value, receivedAt }) => ({ offset, value, receivedAt })),
      expected.map(({ value, receivedAt }, index) => ({ offset: place.offset + index, value, receivedAt })),
    )
    for (const [index, record] of read.entries())
      assert.deepEqual(record.event, JSON.parse(expected[index]?.value ?? 'null'))
  }

  /** Judges a trim: a driver may keep more than asked, never less, and never brings back what it forgot. */
  trim(topic: string, below: ReadonlyMap<number, number>, starts: ReadonlyMap<number, number>): void {
    const known = this.#topic(topic)
    for (const [partition, asked] of below) {
      const start = starts.get(partition)
      assert.ok(start !== undefined, `trim does not say where partition ${partition} starts now`)
      const before = known.starts[partition] ?? 0
      assert.ok(
        start >= before && start <= Math.max(before, asked),
        `asked for ${asked}, the start is ${start}`,
      )
      known.starts[partition] = start
    }
  }

  #topic(name: string): { starts: number[]; records: NewRecord[][] } {
    const topic = this.#topics.get(name)
    assert.ok(topic, `topic ${name} was not declared`)
    return topic
  }
}
