import type { Event } from '@pulse/protocol/event'
import type { GapReason } from '@pulse/protocol/frames'
import type { Position } from '@pulse/protocol/position'
import { parseStreamPosition } from '@pulse/protocol/stream-position'
import { parseJson } from './pulse-error.ts'

/** The name of the protocol that a socket speaks. A test compares it with the protocol's own, which drags zod in. */
export const subprotocol = 'pulse.v1'

/** An event on its way to one subscriber. */
export interface Delivery {
  readonly topic: string
  readonly partition: number
  readonly offset: number
  /** The highest offset of the partition that was told before. */
  readonly previous: number
  /** Names of the filters that match. */
  readonly matched: readonly string[]
  readonly event: Event
}

/** A frame of the server, checked, its positions read. */
export type ServerFrame =
  | {
      readonly type: 'hello'
      readonly position: readonly Position[]
      readonly dedupe: 'exact' | 'deferred'
      readonly heartbeatMs: number
    }
  | { readonly type: 'deliveries'; readonly deliveries: readonly Delivery[] }
  | {
      readonly type: 'gap'
      readonly from: readonly Position[]
      readonly to: readonly Position[]
      readonly reason: GapReason
    }
  | {
      readonly type: 'checkpoint'
      readonly position: readonly Position[]
      readonly previous: readonly Position[] | undefined
    }
  | { readonly type: 'lagging'; readonly position: string }
  | { readonly type: 'reconnect'; readonly afterMs: number }
  | { readonly type: 'error'; readonly code: string; readonly detail: string }
  /** A kind that a newer server knows: passed over. */
  | { readonly type: 'unknown' }

type Members = Readonly<Record<string, unknown>>

const isObject = (value: unknown): value is Members =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
const isText = (value: unknown): value is string => typeof value === 'string'
const isWhole = (value: unknown, least: number): value is number =>
  Number.isSafeInteger(value) && (value as number) >= least

/**
 * Reads a frame; undefined if it is none. By hand and not by the protocol's schemas: those would put zod into every
 * page, and cost more than all else that is done with an event. A test compares the two.
 */
export function parseServerFrame(text: string): ServerFrame | undefined {
  const frame = parseJson(text)
  if (!isObject(frame) || !isText(frame.type)) return undefined
  const read = readers[frame.type as keyof typeof readers]
  return read === undefined || !Object.hasOwn(readers, frame.type) ? { type: 'unknown' } : read(frame)
}

const readers = {
  hello: readHello,
  event: (frame: Members) => readDeliveries([frame]),
  batch: (frame: Members) => (Array.isArray(frame.events) ? readDeliveries(frame.events) : undefined),
  gap: readGap,
  checkpoint: readCheckpoint,
  lagging: ({ position }: Members) => (isText(position) ? { type: 'lagging' as const, position } : undefined),
  reconnect: ({ after_ms }: Members) =>
    isWhole(after_ms, 0) ? { type: 'reconnect' as const, afterMs: after_ms } : undefined,
  error: ({ code, detail }: Members) =>
    isText(code) && isText(detail) ? { type: 'error' as const, code, detail } : undefined,
} satisfies Record<string, (frame: Members) => ServerFrame | undefined>

function readHello({ position, dedupe, heartbeat_ms }: Members): ServerFrame | undefined {
  const positions = readPosition(position)
  if (!positions || (dedupe !== 'exact' && dedupe !== 'deferred') || !isWhole(heartbeat_ms, 1))
    return undefined
  return { type: 'hello', position: positions, dedupe, heartbeatMs: heartbeat_ms }
}

function readGap(frame: Members): ServerFrame | undefined {
  const [from, to] = [readPosition(frame.from), readPosition(frame.to)]
  if (!from || !to || !isText(frame.reason)) return undefined
  // A reason that a newer server knows is still a gap, and must be told.
  return { type: 'gap', from, to, reason: frame.reason as GapReason }
}

function readCheckpoint(frame: Members): ServerFrame | undefined {
  const position = readPosition(frame.position)
  if (!position) return undefined
  if (frame.previous === undefined) return { type: 'checkpoint', position, previous: undefined }
  const previous = readPosition(frame.previous)
  return previous && { type: 'checkpoint', position, previous }
}

function readDeliveries(values: readonly unknown[]): ServerFrame | undefined {
  if (!values.every(isDelivery)) return undefined
  return { type: 'deliveries', deliveries: values }
}

function isDelivery(value: unknown): value is Delivery {
  if (!isObject(value)) return false
  const { topic, partition, offset, previous, matched, event } = value
  return (
    isText(topic) &&
    isWhole(partition, 0) &&
    isWhole(offset, 0) &&
    isWhole(previous, -1) &&
    Array.isArray(matched) &&
    matched.every(isText) &&
    isObject(event) &&
    isText(event.event_id) &&
    isText(event.event_type)
  )
}

const readPosition = (value: unknown) => (isText(value) ? parseStreamPosition(value) : undefined)
