import type { GapReason, SlowPolicy } from '@pulse/protocol/frames'
import type { Logger } from 'pino'
import { Counter, Gauge, Histogram, type Registry } from 'prom-client'

export const transports = ['websocket', 'plain', 'sse', 'webhook'] as const
export type TransportName = (typeof transports)[number]

/** What the report says of a stream. */
export interface ReportedStream {
  readonly subscriber: string | null
  readonly session: { readonly needs: { readonly id: string } }
  readonly connection: { readonly name: TransportName }
}

/** Every fact that delivery tells, one function each. */
export interface DeliveryReport {
  opened(stream: ReportedStream): void
  closed(stream: ReportedStream, code: number): void
  delivered(events: number, bytes: number): void
  lagged(policy: SlowPolicy): void
  gap(reason: GapReason): void
  /** Sessions that were brought up together, records that were read for them, milliseconds. */
  replayed(sessions: number, records: number, ms: number): void
  troubled(error: unknown): void
  /** A mistake of ours that ended one stream. */
  failed(error: unknown): void
  /** So many streams were ended because the log cannot be followed for them. */
  lost(streams: number): void
}

/** Makes the report. */
export function createDeliveryReport({ log, metrics }: { log: Logger; metrics: Registry }): DeliveryReport {
  const { open, closed, deliveries, bytes, lagging, gaps, replays, replaySeconds } = createMetrics([metrics])
  return {
    opened: (stream) => {
      open.inc({ transport: stream.connection.name })
      log.debug(namesOf(stream), 'stream opened')
    },
    closed: (stream, code) => {
      const transport = stream.connection.name
      open.dec({ transport })
      closed.inc({ transport, code: String(code) })
      log.debug({ ...namesOf(stream), code }, 'stream ended')
    },
    delivered: (events, size) => {
      deliveries.inc(events)
      bytes.inc(size)
    },
    lagged: (policy) => lagging.inc({ policy }),
    gap: (reason) => gaps.inc({ reason }),
    replayed: (sessions, records, ms) => {
      replays.inc(sessions)
      replaySeconds.observe(ms / 1_000)
      log.debug({ sessions, records, ms: Math.round(ms) }, 'sessions were brought up to the live feed')
    },
    failed: (err) => log.error({ err }, 'a stream failed and was ended'),
    troubled: (err) => log.warn({ err }, 'the log cannot be followed; it is tried again'),
    lost: (streams) => log.error({ streams }, 'the log cannot be followed; streams are ended to come back'),
  }
}

const namesOf = ({ subscriber, session, connection }: ReportedStream) => ({
  session: session.needs.id,
  subscriber_id: subscriber,
  transport: connection.name,
})

function createMetrics(registers: Registry[]) {
  const open = new Gauge({
    name: 'pulse_stream_connections',
    help: 'Open streams by transport.',
    labelNames: ['transport'],
    registers,
  })
  const closed = new Counter({
    name: 'pulse_stream_closed_total',
    help: 'Streams that ended, by transport and close code.',
    labelNames: ['transport', 'code'],
    registers,
  })
  const deliveries = new Counter({
    name: 'pulse_deliveries_total',
    help: 'Events handed to the sockets of subscribers, once per subscriber and connection.',
    registers,
  })
  const bytes = new Counter({
    name: 'pulse_delivered_bytes_total',
    help: 'Bytes handed to the sockets of subscribers.',
    registers,
  })
  const lagging = new Counter({
    name: 'pulse_streams_lagging_total',
    help: 'Times that a reader was too slow for what matches, by what was done.',
    labelNames: ['policy'],
    registers,
  })
  const gaps = new Counter({
    name: 'pulse_stream_gaps_total',
    help: 'Gaps that subscribers were told of, by reason.',
    labelNames: ['reason'],
    registers,
  })
  const replays = new Counter({
    name: 'pulse_replayed_sessions_total',
    help: 'Sessions that were brought up to the live feed from a position in the past.',
    registers,
  })
  const replaySeconds = new Histogram({
    name: 'pulse_replay_seconds',
    help: 'From the start of a replay to its hand-over to the live feed.',
    buckets: [0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60],
    registers,
  })
  return { open, closed, deliveries, bytes, lagging, gaps, replays, replaySeconds }
}
