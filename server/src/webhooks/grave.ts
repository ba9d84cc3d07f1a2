import type { Event } from '@pulse/protocol/event'
import { instantOf } from '@pulse/protocol/instant'
import { type GivenUp, idOf, type ParkedRow, placeOf } from './letter.ts'
import type { Grave } from './progress.ts'
import type { DeadRow } from './webhook-store.ts'

/** What is kept of a letter that was given up. `keyOf`: the key whose order holds. */
export function graveOf(
  webhookId: string,
  { letter, failure, attempts }: GivenUp,
  keyOf: (event: Event) => string,
): Grave {
  const why = { error_class: failure.errorClass, error_message: failure.message, attempts }
  const { from } = letter
  switch (from.kind) {
    case 'redriven':
      return { again: { id: from.id, ...why } }
    case 'parked':
      return { first: { ...ofParked(from.row, keyOf), ...why }, isParked: true }
    case 'gap':
      throw new Error('a gap is no event: it cannot be a dead letter')
    case 'stream': {
      const { record, position } = from.record
      const place = placeOf(from.record)
      const { event, receivedAt } = record
      const first: DeadRow = {
        ...{ id: idOf(webhookId, place), event, key: keyOf(event), position, ...why, ...place },
        received_at: instantOf(receivedAt),
      }
      return { first, isParked: false }
    }
  }
}

function ofParked(
  { id, body, topic, partition, record_offset, log_epoch, received_at }: ParkedRow,
  keyOf: (event: Event) => string,
) {
  const { position, ...event } = JSON.parse(body) as Event & { position: string }
  const place = { topic, partition, record_offset, log_epoch }
  return { id, event, key: keyOf(event), position, ...place, received_at }
}
