import type { Event } from '@pulse/protocol/event'
import { type Handler, PermanentError } from '@pulse/server'

/** How late a flight left, in the words that the airport uses. */
export type DelayClass = 'early' | 'on_time' | 'late' | 'very_late'

// The US Department of Transportation counts a flight as late from the 15th minute on.
const lateFromMinutes = 15
const veryLateFromMinutes = 60

/** Sorts a delay in minutes (negative: ahead of time) into its class. */
export function classOfDelay(minutes: number): DelayClass {
  if (minutes < 0) return 'early'
  if (minutes < lateFromMinutes) return 'on_time'
  return minutes < veryLateFromMinutes ? 'late' : 'very_late'
}

interface Flight {
  readonly delay: number
  readonly distance: number
  readonly origin: string
  readonly destination: string
}

/** Reads the properties of a `flight.departed` event. Throws PermanentError: trying again would not mend them. */
function readFlight({ properties }: Event): Flight {
  const { delay, distance, origin, destination } = properties
  if (typeof delay !== 'number' || !Number.isInteger(delay))
    throw new PermanentError('delay must be whole minutes')
  if (typeof distance !== 'number' || distance < 0) throw new PermanentError('distance must be miles')
  if (typeof origin !== 'string' || typeof destination !== 'string')
    throw new PermanentError('origin and destination must be airport codes')
  return { delay, distance, origin, destination }
}

/**
 * Adds the delay's class to the event and writes a row into `flight_delays`. The row is committed together with
 * the fact that the event is processed, so each flight is counted once, whatever crashes in between.
 */
export const flightDeparted: Handler = (event) => {
  const flight = readFlight(event)
  const delayClass = classOfDelay(flight.delay)
  return {
    enriched: { delay_class: delayClass, route: `${flight.origin}-${flight.destination}` },
    rows: {
      flight_delays: [
        {
          event_id: event.event_id,
          departed_at: event.timestamp,
          origin: flight.origin,
          destination: flight.destination,
          distance_miles: Math.round(flight.distance),
          delay_minutes: flight.delay,
          delay_class: delayClass,
        },
      ],
    },
  }
}
