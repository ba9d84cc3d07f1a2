/** The time between two measurements, and the time that each speaks of. */
export const measurementMs = 2_000

/** What was measured of this server in that time. Null: it is not known. */
export interface Measured {
  readonly at: Date
  readonly receivedPerSecond: number | null
  readonly processedPerSecond: number | null
  /** Events that are kept and wait for processing. */
  readonly backlogEvents: number | null
  readonly requestsPerSecond: number
  /** Answered 401, 403 or 429. */
  readonly refusedPerSecond: number
  /** Answered 500 and above. */
  readonly failedPerSecond: number
  /** Names that somebody asked for; null: this server keeps none. */
  readonly namesCheckedPerSecond: number | null
  /** Names that were taken; null as above. */
  readonly namesClaimedPerSecond: number | null
  /** Streams of subscribers. */
  readonly streams: number
  /** Who follows the measurements. */
  readonly viewers: number
  /** Share of time in which the event loop was busy, 0 to 1. */
  readonly busyRatio: number
  readonly eventLoopP99Ms: number | null
  readonly memoryBytes: number | null
  /** Null: it does not answer. */
  readonly databaseMs: number | null
}

/** One figure with its unit. */
interface Figure {
  readonly name: string
  readonly value: number | null
  readonly unit: string
}

/** One event of the stream: `time`, `topic`, `message` and `value` as in the original, the rest is ours. */
export interface MeasurementEvent {
  /** Clock of the server, `HH:MM:SS`. */
  readonly time: string
  readonly topic: 'Global Metrics' | 'User Activity' | 'Security Audit' | 'System Health'
  readonly message: string
  /** A whole number of `unit`, 0 to 100; null where it is not known. */
  readonly value: number | null
  readonly unit: '%'
  /** What `value` is the share of, in words that follow it: `of the requests were refused`. */
  readonly value_of: string
  /** RFC 3339. */
  readonly at: string
  readonly figures: readonly Figure[]
}

/** How many events a measurement becomes. */
export const topicsPerMeasurement = 4

/** Puts a measurement into one event per topic. Anybody may see them, so figures are coarse: two digits, or one decimal below ten. */
export function eventsOf(measured: Measured): readonly MeasurementEvent[] {
  const { at, requestsPerSecond, refusedPerSecond, failedPerSecond } = measured
  const served = Math.max(0, requestsPerSecond - refusedPerSecond - failedPerSecond)
  const common = { unit: '%', at: at.toISOString() } as const
  const time = at.toTimeString().slice(0, 8)
  const event = (
    topic: MeasurementEvent['topic'],
    [value, value_of]: readonly [number | null, string],
    figures: readonly Figure[],
  ): MeasurementEvent => ({
    ...{ time, topic, message: figures.map(inWords).join(', '), value, value_of },
    ...{ ...common, figures },
  })
  return [
    event(
      'Global Metrics',
      [keptUp(measured), 'of the events at hand are processed'],
      [
        figure('received', measured.receivedPerSecond, 'events/s'),
        figure('processed', measured.processedPerSecond, 'events/s'),
        figure('waiting', measured.backlogEvents, 'events'),
      ],
    ),
    event(
      'User Activity',
      [percent(served, requestsPerSecond, 100), 'of the requests were served'],
      [
        figure('answered', requestsPerSecond, 'requests/s'),
        figure('open', measured.streams, 'streams'),
        figure('watching', measured.viewers, 'viewers'),
        ...namesOf(measured),
      ],
    ),
    event(
      'Security Audit',
      [percent(refusedPerSecond, requestsPerSecond, 0), 'of the requests were refused'],
      [figure('refused', refusedPerSecond, 'requests/s')],
    ),
    event(
      'System Health',
      [Math.round(measured.busyRatio * 100), 'of the time the event loop was busy'],
      [
        figure('event loop p99', measured.eventLoopP99Ms, 'ms'),
        figure('memory', measured.memoryBytes === null ? null : measured.memoryBytes / 1e6, 'MB'),
        figure('database answer', measured.databaseMs, 'ms'),
      ],
    ),
  ]
}

function namesOf({ namesCheckedPerSecond, namesClaimedPerSecond }: Measured): readonly Figure[] {
  if (namesCheckedPerSecond === null) return []
  return [
    figure('checked', namesCheckedPerSecond, 'names/s'),
    figure('claimed', namesClaimedPerSecond, 'names/s'),
  ]
}

const figure = (name: string, value: number | null, unit: string): Figure => ({
  name,
  value: value === null ? null : coarse(value),
  unit,
})

function inWords({ name, value, unit }: Figure): string {
  if (value === null) return name === 'database answer' ? 'database does not answer' : `${name} unknown`
  return `${name} ${value} ${unit}`
}

/** Two digits at most: enough to see how a server does, too little to count single requests of others by. */
function coarse(value: number): number {
  return value < 10 ? Math.round(value * 10) / 10 : Number(value.toPrecision(2))
}

/** Of nothing there is no share: `none` says what that counts as. */
const percent = (part: number, whole: number, none: number): number =>
  whole > 0 ? Math.min(100, Math.round((part / whole) * 100)) : none

function keptUp({ processedPerSecond, backlogEvents }: Measured): number | null {
  if (processedPerSecond === null || backlogEvents === null) return null
  const processed = (processedPerSecond * measurementMs) / 1_000
  return percent(processed, processed + backlogEvents, 100)
}
