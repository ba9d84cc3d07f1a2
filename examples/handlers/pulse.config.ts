import { defineConfig } from '@pulse/server'
import { flightDeparted } from './flight-departed.ts'

export default defineConfig({
  eventTypes: {
    // Indexed: these can be queried over any span of time.
    'flight.departed': { indexed: ['origin', 'destination'] },
  },
  handlers: { 'flight.departed': flightDeparted },
  migrations: ['migrations'],
})
