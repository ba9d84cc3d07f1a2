import type { Position } from '@pulse/protocol/position'
import { formatStreamPosition, parseStreamPosition } from '@pulse/protocol/stream-position'

/** A step on: the next offset of one partition, or of all of them. */
export type Advance =
  | { readonly topic: string; readonly partition: number; readonly next: number }
  | { readonly positions: readonly Position[] }

interface Topic {
  readonly epoch: number
  readonly offsets: Map<number, number>
}

/** Where a stream stands: of every topic the next offset of each partition. Positions of the wire, made to move. */
export class Place {
  #topics = new Map<string, Topic>()

  constructor(positions: readonly Position[]) {
    this.#replace(positions)
  }

  /** Reads the text of a position; undefined if it is damaged. */
  static parse(text: string): Place | undefined {
    const positions = parseStreamPosition(text)
    return positions && new Place(positions)
  }

  /** The same as text, for the wire and for stores. */
  get text(): string {
    return formatStreamPosition(this.positions)
  }

  /** A copy that does not move. */
  get positions(): readonly Position[] {
    return [...this.#topics].map(([topic, { epoch, offsets }]) => ({
      topic,
      epoch,
      offsets: new Map(offsets),
    }))
  }

  /** The next offset of a partition; undefined if the place does not name it. */
  next(topic: string, partition: number): number | undefined {
    return this.#topics.get(topic)?.offsets.get(partition)
  }

  copy(): Place {
    return new Place(this.positions)
  }

  advance(step: Advance): void {
    if ('positions' in step) this.#replace(step.positions)
    else this.#topics.get(step.topic)?.offsets.set(step.partition, step.next)
  }

  /** The life of the log that a topic's offsets are of; undefined if the place does not name the topic. */
  epoch(topic: string): number | undefined {
    return this.#topics.get(topic)?.epoch
  }

  /** These positions, but nothing of the same log further back than here. */
  orLater(positions: readonly Position[]): readonly Position[] {
    return positions.map(({ topic, epoch, offsets }) => {
      const known = this.#topics.get(topic)
      if (known?.epoch !== epoch) return { topic, epoch, offsets }
      const later = [...offsets].map(
        ([partition, offset]) => [partition, Math.max(offset, known.offsets.get(partition) ?? 0)] as const,
      )
      return { topic, epoch, offsets: new Map(later) }
    })
  }

  #replace(positions: readonly Position[]): void {
    this.#topics = new Map(
      positions.map(({ topic, epoch, offsets }) => [topic, { epoch, offsets: new Map(offsets) }]),
    )
  }
}

/** The start of every partition that these positions name. */
export function startOf(positions: readonly Position[]): Place {
  return new Place(
    positions.map(({ topic, epoch, offsets }) => ({
      topic,
      epoch,
      offsets: new Map([...offsets.keys()].map((partition) => [partition, 0])),
    })),
  )
}
