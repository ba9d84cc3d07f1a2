import { instantOf } from '@pulse/protocol/instant'
import type { DeliveryRecord } from '../delivery/delivery.ts'
import { uuidV5 } from '../intake/uuid-v5.ts'
import type { Failure } from './attempts.ts'

/** Of one webhook. */
export const letterLimits = {
  /** Letters that have not been dealt with, beyond which no more are taken: an outage costs no more memory. */
  openMax: 1_000,
  /** Letters from the first open one of a partition to its last: a crash sends so many again. */
  spanMax: 10_000,
  /** Events that wait in the database. Those of blocked keys beyond are dead letters at once, or wait in the log. */
  parkedMax: 100_000,
  /** Of keys that were blocked on a doubt: in an outage so many would be copied for nothing. Those beyond wait in the log. */
  doubtedMax: 10_000,
  /**
   * So many of a blocked key are taken out at a time once one of it was taken; else only one: the receiver may refuse the
   * others too, and those of a hundred keys would leave no room for anything else.
   */
  takenOutMax: 10,
} as const

/** Something on its way to the receiver. */
export interface Letter {
  /** The `webhook-id`: the same for every attempt. */
  readonly eventId: string
  /** Events of one key are sent one after the other. */
  readonly key: string
  /** What is sent; made when it is asked for. */
  readonly body: () => string
  readonly from: FromStream | Redriven | Parked | Gap
}

/** It came with the stream. */
export interface FromStream {
  readonly kind: 'stream'
  readonly record: DeliveryRecord
}

/** It is a dead letter that was redriven. */
export interface Redriven {
  readonly kind: 'redriven'
  readonly id: string
}

/** It waits in the database, because the receiver does not take an event of its key. */
export interface Parked {
  readonly kind: 'parked'
  readonly row: ParkedRow
}

/** It tells of events that will not come. */
export interface Gap {
  readonly kind: 'gap'
  /** Where the stream stood before it. */
  readonly from: string
}

/** Where an event stands in the log. */
export interface PlaceInLog {
  readonly topic: string
  readonly partition: number
  readonly record_offset: number
  readonly log_epoch: number
}

export type ParkedLetter = Letter & { readonly from: Parked }

/** A parked event as it is stored. */
export interface ParkedRow extends PlaceInLog {
  readonly id: string
  readonly key: string
  readonly event_id: string
  readonly body: string
  readonly received_at: string
}

/** A key of which an owner before this one has parked events, and the last of them. */
export interface FoundKey {
  readonly key: string
  readonly count: number
  readonly highest: Pick<PlaceInLog, 'log_epoch' | 'record_offset'>
}

/** Why a letter was given up. */
export interface GivenUp {
  readonly letter: Letter
  readonly failure: Failure
  readonly attempts: number
}

/** Names its key among all of the log: of one partition, so that the order of offsets is the order of the key. */
export const keyOfLetter = (topic: string, partition: number, key: string) => `${topic}/${partition}/${key}`

/** Where an event that came with the stream stands in the log. */
export function placeOf({ slots, slot, offset }: DeliveryRecord): PlaceInLog {
  const { topic, partition } = slots.place(slot)
  const log_epoch = slots.topics.find(({ name }) => name === topic)?.epoch ?? 0
  return { topic, partition, record_offset: offset, log_epoch }
}

/** When the event was received, in milliseconds since 1970; infinite for what no stream brought. */
export function receivedMs({ from }: Letter): number {
  if (from.kind === 'stream') return from.record.record.receivedAt / 1_000
  return from.kind === 'parked' ? Date.parse(from.row.received_at) : Number.POSITIVE_INFINITY
}

/** One id of an event for a webhook, the same whoever keeps it, so that it is kept once. */
export const idOf = (webhookId: string, { topic, log_epoch, partition, record_offset }: PlaceInLog) =>
  uuidV5(webhookId, `${topic}~${log_epoch}~${partition}.${record_offset}`)

/** The same letter as one that waits in the database. */
export function parkedOf(webhookId: string, letter: Letter): ParkedLetter {
  if (letter.from.kind !== 'stream') throw new Error(`a ${letter.from.kind} letter cannot be parked`)
  const { record } = letter.from
  const place = placeOf(record)
  const body = letter.body()
  const row: ParkedRow = {
    ...{ id: idOf(webhookId, place), key: letter.key, event_id: letter.eventId, body, ...place },
    received_at: instantOf(record.record.receivedAt),
  }
  return letterOfParked(row)
}

/** The letter of an event that waited in the database. */
export function letterOfParked(row: ParkedRow): ParkedLetter {
  return { eventId: row.event_id, key: row.key, body: () => row.body, from: { kind: 'parked', row } }
}
