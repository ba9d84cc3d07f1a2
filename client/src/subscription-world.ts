import assert from 'node:assert/strict'
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { ClientFrame, GapReason } from '@pulse/protocol/frames'
import type { Position } from '@pulse/protocol/position'
import { formatStreamPosition, parseStreamPosition } from '@pulse/protocol/stream-position'
import type { Clock } from './clock.ts'
import type { SocketEvents } from './socket.ts'
import type { SubscriptionNeeds } from './subscription.ts'

/** Everything that was set off has happened: what a promise sets off in its turn too. */
export async function settled(): Promise<void> {
  for (let turn = 0; turn < 3; turn++) await nextTurn()
}

/** A clock that moves only when it is turned. */
export class TurnedClock implements Clock {
  #now = 1_000_000
  #timers: { readonly at: number; readonly call: () => void }[] = []

  now(): number {
    return this.#now
  }

  after(ms: number, call: () => void): () => void {
    const timer = { at: this.#now + ms, call }
    this.#timers.push(timer)
    return () => {
      this.#timers = this.#timers.filter((one) => one !== timer)
    }
  }

  /** Lets time pass; what is due happens in its order, and all that follows from it. */
  async turn(ms: number): Promise<void> {
    const until = this.#now + ms
    for (;;) {
      const [first] = this.#timers.filter(({ at }) => at <= until).sort((a, b) => a.at - b.at)
      if (!first) break
      this.#timers = this.#timers.filter((one) => one !== first)
      this.#now = Math.max(this.#now, first.at)
      first.call()
      await settled()
    }
    this.#now = until
  }
}

export interface Row {
  readonly id: string
  readonly matches: boolean
}

/** One partition of the log: its rows from `start` on; those below were deleted. */
interface Partition {
  readonly topic: string
  readonly partition: number
  start: number
  rows: Row[]
}

/** A connection as the network sees it: what is on its way to the client, and whether it still carries anything. */
export interface Line {
  readonly toClient: string[]
  readonly events: SocketEvents
  /** Neither side is told; nothing arrives any more. */
  isCut: boolean
  isOver: boolean
  /** The server's side: next offset told of, and next offset to look at, by slot; undefined before it was asked. */
  stream: { readonly told: number[]; readonly next: number[] } | undefined
}

const layout = [
  { topic: 'events', partition: 0 },
  { topic: 'events', partition: 1 },
  { topic: 'orders', partition: 0 },
]

/**
 * A server of `pulse.v1` in a few lines, over a network that can do to its messages whatever networks do. It is no
 * double of our server: that one is tried in `server/test`. This one can be made to do wrong.
 */
export class SimulatedServer {
  readonly clock: TurnedClock
  epoch = 1
  partitions: Partition[] = layout.map((one) => ({ ...one, start: 0, rows: [] }))
  lines: Line[] = []
  /** Refuses connections. */
  isDown = false
  /** There is no credential to be had. */
  hasNoCredential = false
  readonly dedupe: 'exact' | 'deferred'

  constructor(clock: TurnedClock, dedupe: 'exact' | 'deferred') {
    this.clock = clock
    this.dedupe = dedupe
  }

  /** What a subscription needs, with this server behind its sockets. Returns how to end it as a crash would. */
  needs(random: () => number): { readonly needs: SubscriptionNeeds; readonly crash: () => void } {
    let isAlive = true
    const clock: Clock = {
      now: () => this.clock.now(),
      after: (ms, call) => this.clock.after(ms, () => isAlive && call()),
    }
    const needs: SubscriptionNeeds = {
      clock,
      random,
      renewable: false,
      access: async () => {
        if (this.hasNoCredential) throw new Error('no credential')
        return { url: 'ws://simulated' }
      },
      askWhy: async () => undefined,
      watch: () => () => {},
      openSocket: (_address, events) => this.#connect(events, () => isAlive),
    }
    return {
      needs,
      crash: () => {
        isAlive = false
        for (const line of this.lines) line.isOver = true
        this.lines = []
      },
    }
  }

  get end(): number[] {
    return this.partitions.map(({ start, rows }) => start + rows.length)
  }

  append(slot: number, row: Row): void {
    this.partitions[slot]?.rows.push(row)
  }

  /** Deletes rows of a partition, as retention does. */
  trim(slot: number, rows: number): void {
    const partition = this.partitions[slot] as Partition
    partition.start += partition.rows.splice(0, rows).length
    // A real server's readers are ahead of retention, or are told of the gap when they come back.
    for (const line of this.lines)
      if (line.stream && (line.stream.next[slot] as number) < partition.start) this.close(line, 1006)
  }

  /** The log is replaced by another one, whose offsets begin anew. */
  replaceLog(): void {
    this.epoch++
    this.partitions = layout.map((one) => ({ ...one, start: 0, rows: [] }))
    for (const line of [...this.lines]) this.close(line, 1001)
  }

  /** Looks at the next rows of every slot for one connection and sends what matches. */
  serve(line: Line, rowsMax: number, asBatch: boolean): void {
    const { stream } = line
    if (!stream) return
    const events = this.partitions.flatMap(({ topic, partition, start, rows }, slot) => {
      const from = stream.next[slot] as number
      const found = rows.slice(from - start, from - start + rowsMax)
      stream.next[slot] = from + found.length
      return found.flatMap((row, n) => {
        if (!row.matches) return []
        const offset = from + n
        const previous = (stream.told[slot] as number) - 1
        stream.told[slot] = offset + 1
        const event = { event_id: row.id, event_type: 'x' }
        return [{ topic, partition, offset, previous, matched: ['default'], event }]
      })
    })
    if (asBatch && events.length > 0) this.#send(line, { type: 'batch', events })
    else for (const event of events) this.#send(line, { type: 'event', ...event })
  }

  checkpoint(line: Line, id?: string): void {
    const { stream } = line
    if (!stream) return
    const previous = this.#format(stream.told)
    stream.next.forEach((next, slot) => {
      stream.told[slot] = Math.max(next, stream.told[slot] as number)
    })
    this.#send(line, { type: 'checkpoint', position: this.#format(stream.told), previous, ...(id && { id }) })
  }

  drain(line: Line, afterMs: number): void {
    this.#send(line, { type: 'reconnect', after_ms: afterMs, reason: 'draining' })
  }

  lag(line: Line): void {
    if (line.stream) this.#send(line, { type: 'lagging', position: this.#format(line.stream.told) })
  }

  /** Ends a connection; what is on its way arrives before the close does, unless it was cut. */
  close(line: Line, code: number): void {
    this.lines = this.lines.filter((one) => one !== line)
    if (line.isOver || line.isCut) return
    this.flow(line)
    line.isOver = true
    line.events.closed(code, '')
  }

  /** Brings what is on its way to the client. */
  flow(line: Line): void {
    for (const text of line.toClient.splice(0)) if (!line.isOver && !line.isCut) line.events.message(text)
  }

  #connect(events: SocketEvents, isAlive: () => boolean) {
    const line: Line = { toClient: [], events, isCut: false, isOver: false, stream: undefined }
    setImmediate(() => {
      if (line.isOver || !isAlive()) return
      if (this.isDown) return events.closed(1006, '')
      this.lines.push(line)
      events.opened()
      this.#send(line, {
        ...{ type: 'hello', session: 's', subscriber: 'user_1', filters: ['default'] },
        ...{ position: this.#format(this.end), dedupe: this.dedupe, heartbeat_ms: 25_000 },
      })
      this.flow(line)
    })
    return {
      send: (text: string) => this.#receive(line, JSON.parse(text) as ClientFrame),
      close: () => {
        line.isOver = true
        this.lines = this.lines.filter((one) => one !== line)
      },
    }
  }

  #receive(line: Line, frame: ClientFrame): void {
    if (line.isOver || line.isCut) return
    if (frame.type === 'subscribe') this.#begin(line, this.end)
    if (frame.type === 'resume') this.#resume(line, frame.position)
    if (frame.type === 'ping') this.checkpoint(line, frame.id)
    if (frame.type === 'ack') assert.ok(parseStreamPosition(frame.position))
  }

  #resume(line: Line, text: string): void {
    const asked = this.#read(parseStreamPosition(text))
    const end = this.end
    if (!asked || asked.some((offset, slot) => offset > (end[slot] as number))) {
      this.#gap(line, { from: text, to: end, reason: 'epoch' })
      return
    }
    const place = asked.map((offset, slot) => Math.max(offset, this.partitions[slot]?.start ?? 0))
    if (place.every((offset, slot) => offset === asked[slot])) this.#begin(line, place)
    else this.#gap(line, { from: text, to: place, reason: 'retention' })
  }

  #begin(line: Line, place: readonly number[]): void {
    line.stream = { told: [...place], next: [...place] }
    this.#send(line, { type: 'checkpoint', position: this.#format(place) })
  }

  #gap(line: Line, { from, to, reason }: { from: string; to: readonly number[]; reason: GapReason }): void {
    line.stream = { told: [...to], next: [...to] }
    this.#send(line, { type: 'gap', from, to: this.#format(to), reason })
  }

  #send(line: Line, frame: object): void {
    line.toClient.push(JSON.stringify(frame))
  }

  #format(offsets: readonly number[]): string {
    const topics = [...new Set(layout.map(({ topic }) => topic))]
    return formatStreamPosition(
      topics.map((topic) => ({
        topic,
        epoch: this.epoch,
        offsets: new Map(
          layout.flatMap((one, slot) =>
            one.topic === topic ? [[one.partition, offsets[slot] as number] as const] : [],
          ),
        ),
      })),
    )
  }

  /** Offsets by slot of a position of this log; undefined if it is of another one. */
  #read(positions: readonly Position[] | undefined): number[] | undefined {
    if (!positions || positions.some(({ epoch }) => epoch !== this.epoch)) return undefined
    return layout.map(
      ({ topic, partition }) => positions.find((one) => one.topic === topic)?.offsets.get(partition) ?? 0,
    )
  }
}

/** The slot of a partition. */
export const slotOf = (topic: string, partition: number) =>
  layout.findIndex((one) => one.topic === topic && one.partition === partition)

/** Epoch and offsets by slot of a position in text, for judging what a gap covers. */
export function pointOf(text: string): { readonly epoch: number; readonly offsets: readonly number[] } {
  const positions = parseStreamPosition(text) ?? []
  return {
    epoch: positions[0]?.epoch ?? 0,
    offsets: layout.map(
      ({ topic, partition }) => positions.find((one) => one.topic === topic)?.offsets.get(partition) ?? 0,
    ),
  }
}
