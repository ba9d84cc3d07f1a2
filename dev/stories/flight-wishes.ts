import type { Condition } from '@pulse/client'

/** Which flights a subscriber wants: all that is named must hold. */
export interface FlightWish {
  readonly origins?: readonly string[]
  readonly destination?: string
  readonly notDestination?: string
  /** Minutes, both ends included. */
  readonly delay?: Range
  /** Miles, both ends included. */
  readonly distance?: Range
}

interface Range {
  readonly least?: number
  readonly most?: number
}

export const flightType = 'flight.departed'

/** Makes so many wishes, each another one, around these airports. The first one is for everything. */
export function flightWishes(count: number, airports: readonly string[]): FlightWish[] {
  const airport = (n: number) => airports[n % airports.length] ?? ''
  const wishes: FlightWish[] = [{}]
  for (let n = 0; wishes.length < count; n++) wishes.push(wishOf(n, airport))
  return wishes
}

function wishOf(n: number, airport: (n: number) => string): FlightWish {
  // Seven kinds, so that neighbouring numbers differ; `turn` makes each of a kind another one.
  const turn = Math.floor(n / 7)
  switch (n % 7) {
    case 0:
      return { origins: [airport(turn)] }
    case 1:
      return { destination: airport(turn) }
    case 2:
      return { origins: [airport(turn), airport(turn + 5), airport(turn + 11)], delay: { least: 15 } }
    case 3:
      return { destination: airport(turn), delay: { least: -5, most: 5 } }
    case 4:
      return { distance: { least: 1_000 + turn * 20 }, delay: { least: 30 } }
    case 5:
      return { origins: [airport(turn)], distance: { most: 200 + turn * 10 } }
    default:
      return { origins: [airport(turn)], notDestination: airport(turn + 1), delay: { most: 0 } }
  }
}

/** The wish as a filter: odd ones as an EventBridge pattern, even ones as an expression. */
export function filterOf(wish: FlightWish, n: number): Condition {
  return n % 2 === 0 ? { expression: expressionOf(wish) } : { pattern: patternOf(wish) }
}

function expressionOf({ origins, destination, notDestination, delay, distance }: FlightWish): string {
  const texts = (values: readonly string[]) => values.map((value) => `"${value}"`).join(', ')
  const tests = [
    `event_type = "${flightType}"`,
    ...(origins ? [`properties.origin in (${texts(origins)})`] : []),
    ...(destination === undefined ? [] : [`properties.destination = "${destination}"`]),
    ...(notDestination === undefined ? [] : [`properties.destination != "${notDestination}"`]),
    ...rangeTests('properties.delay', delay),
    ...rangeTests('properties.distance', distance),
  ]
  return tests.join(' and ')
}

const rangeTests = (path: string, { least, most }: Range = {}) => [
  ...(least === undefined ? [] : [`${path} >= ${least}`]),
  ...(most === undefined ? [] : [`${path} <= ${most}`]),
]

function patternOf({ origins, destination, notDestination, delay, distance }: FlightWish) {
  const properties = {
    ...(origins && { origin: origins }),
    ...(destination !== undefined && { destination: [destination] }),
    ...(notDestination !== undefined && { destination: [{ 'anything-but': notDestination }] }),
    ...(delay && { delay: [{ numeric: numeric(delay) }] }),
    ...(distance && { distance: [{ numeric: numeric(distance) }] }),
  }
  return { event_type: [flightType], ...(Object.keys(properties).length > 0 && { properties }) }
}

const numeric = ({ least, most }: Range) => [
  ...(least === undefined ? [] : ['>=', least]),
  ...(most === undefined ? [] : ['<=', most]),
]

/** The same wish asked of the rows of a database, written from the wish and not from its filter. */
export function sqlOf({ origins, destination, notDestination, delay, distance }: FlightWish): {
  readonly where: string
  readonly values: readonly unknown[]
} {
  const values: unknown[] = []
  const tests: string[] = []
  const ask = (test: (place: string) => string, value: unknown) => {
    if (value === undefined) return
    values.push(value)
    // The first two belong to who asks.
    tests.push(test(`$${values.length + 2}`))
  }
  ask((place) => `properties->>'origin' = any(${place})`, origins)
  ask((place) => `properties->>'destination' = ${place}`, destination)
  ask((place) => `properties->>'destination' <> ${place}`, notDestination)
  ask((place) => `(properties->>'delay')::int >= ${place}`, delay?.least)
  ask((place) => `(properties->>'delay')::int <= ${place}`, delay?.most)
  ask((place) => `(properties->>'distance')::int >= ${place}`, distance?.least)
  ask((place) => `(properties->>'distance')::int <= ${place}`, distance?.most)
  return { where: ['event_type = $1', 'source = $2', ...tests].join(' and '), values }
}
