import type { TopicBounds } from '@pulse/log'
import type { Position } from '@pulse/protocol/position'
import { formatStreamPosition, parseStreamPosition } from '@pulse/protocol/stream-position'

/** Next offsets by slot: everything below is behind. */
export type Vector = Float64Array

interface Topic {
  readonly name: string
  readonly epoch: number
  /** Slot of its partition 0; those of the others follow. */
  readonly first: number
  readonly partitions: number
}

/** What became of a position that a client presented. */
export type Presented =
  | { readonly kind: 'ok'; readonly vector: Vector }
  /** Another log's: its offsets say nothing here. */
  | { readonly kind: 'epoch' }
  /** No position, or damaged. */
  | { readonly kind: 'invalid' }

/**
 * All partitions of all topics, numbered from 0: a stream over several topics then has one flat vector of offsets.
 * Topics keep their partition counts, so the numbers stay for the life of a process.
 */
export class Slots {
  readonly count: number
  readonly #topics: readonly Topic[]
  readonly #places: readonly { readonly topic: string; readonly partition: number }[]

  constructor(topics: readonly { name: string; epoch: number; partitions: number }[]) {
    let first = 0
    this.#topics = topics.map((topic) => {
      const numbered = { ...topic, first }
      first += topic.partitions
      return numbered
    })
    this.count = first
    this.#places = this.#topics.flatMap(({ name, partitions }) =>
      Array.from({ length: partitions }, (_, partition) => ({ topic: name, partition })),
    )
  }

  get topics(): readonly Topic[] {
    return this.#topics
  }

  /** The slot of a partition; throws on a topic that is not followed. */
  of(topic: string, partition: number): number {
    const found = this.#topics.find(({ name }) => name === topic)
    if (!found || partition >= found.partitions) throw new Error(`${topic}/${partition} is not followed`)
    return found.first + partition
  }

  place(slot: number): { readonly topic: string; readonly partition: number } {
    const place = this.#places[slot]
    if (!place) throw new Error(`there is no slot ${slot}`)
    return place
  }

  /** The offsets of one topic out of a vector, as the log reads them. */
  offsets(vector: Vector, topic: Topic): Map<number, number> {
    return new Map(
      Array.from({ length: topic.partitions }, (_, partition) => [
        partition,
        vector[topic.first + partition] as number,
      ]),
    )
  }

  format(vector: Vector): string {
    return formatStreamPosition(
      this.#topics.map((topic) => ({
        topic: topic.name,
        epoch: topic.epoch,
        offsets: this.offsets(vector, topic),
      })),
    )
  }

  /** Reads a position; a topic that it does not name is newer than it, so it is wanted from its start. */
  parse(text: string): Presented {
    const positions = parseStreamPosition(text)
    if (!positions) return { kind: 'invalid' }
    return this.read(positions)
  }

  /** The same of a position that is parsed already. */
  read(positions: readonly Position[]): Presented {
    const vector: Vector = new Float64Array(this.count)
    for (const { topic, epoch, offsets } of positions) {
      const known = this.#topics.find(({ name }) => name === topic)
      if (!known || known.epoch !== epoch) return { kind: 'epoch' }
      if (offsets.size !== known.partitions) return { kind: 'invalid' }
      for (const [partition, offset] of offsets) {
        if (partition >= known.partitions) return { kind: 'invalid' }
        vector[known.first + partition] = offset
      }
    }
    return { kind: 'ok', vector }
  }
}

/** A vector of one bound of every partition. */
export function vectorOf(slots: Slots, bounds: readonly TopicBounds[], which: 'start' | 'end'): Vector {
  const vector: Vector = new Float64Array(slots.count)
  for (const { topic, partitions } of bounds)
    for (const each of partitions) vector[slots.of(topic, each.partition)] = each[which]
  return vector
}

/** Whether `a` has come at least as far as `b` everywhere. */
export function reaches(a: Vector, b: Vector): boolean {
  for (let slot = 0; slot < b.length; slot++) if ((a[slot] as number) < (b[slot] as number)) return false
  return true
}

/** Raises every slot to the highest of the others; returns the vector that it has raised. */
export function atLeast(vector: Vector, ...others: readonly Vector[]): Vector {
  for (const other of others)
    for (let slot = 0; slot < vector.length; slot++)
      vector[slot] = Math.max(vector[slot] as number, other[slot] as number)
  return vector
}

/** Sets every slot of `into` to the lesser of both. */
export function lower(into: Vector, other: Vector): void {
  for (let slot = 0; slot < into.length; slot++)
    into[slot] = Math.min(into[slot] as number, other[slot] as number)
}
