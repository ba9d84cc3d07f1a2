import { fileURLToPath } from 'node:url'

/** Real data that can be imported with one command: `npm run story -- NAME`. */
export interface Story {
  readonly name: string
  readonly description: string
  readonly file: string
  /** Options of `pulse events import` that turn its records into events. */
  readonly options: readonly string[]
}

const datasets = new URL('..', import.meta.resolve('vega-datasets'))
const dataset = (name: string) => fileURLToPath(new URL(`data/${name}`, datasets))

const flights = {
  file: dataset('flights-20k.json'),
  // The airport stands for the user: flights of one airport keep their order.
  options: [
    ...['--type', 'flight.departed', '--source', 'vega-datasets'],
    ...['--map', 'timestamp=date,user_id=origin', '--timezone', 'UTC'],
    ...['--properties', 'delay,distance,origin,destination'],
  ],
}

/** Every story that there is. */
export const stories: readonly Story[] = [
  {
    name: 'flights',
    description: '20,000 US flights of the first 90 days of 2001, as flight.departed events',
    ...flights,
  },
  {
    name: 'flights-live',
    description:
      'the flights in a minute to 200 subscribers, compared with SQL (--over, --flights, --subscribers, --data)',
    ...flights,
  },
]
