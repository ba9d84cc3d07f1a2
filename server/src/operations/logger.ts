import { type Logger, type LoggerOptions, pino, stdTimeFunctions } from 'pino'
import type { LineSink } from './held-lines.ts'
import { cleanFields, cleanLine } from './log-fields.ts'
import { formatLine } from './log-line.ts'

/** Levels from the loudest to the most quiet; `silent` writes nothing. */
export const logLevels = ['debug', 'info', 'warn', 'error', 'silent'] as const
export type LogLevel = (typeof logLevels)[number]

interface LoggerNeeds {
  readonly level: LogLevel
  /** Where lines go; one write is one line. */
  readonly to: LineSink
}

/**
 * The server's log: one JSON object per line with timestamp, level, module, message and the fields of the fact; on a
 * terminal the same as readable text.
 *
 * A module logs through `log.child({ module: 'intake' })`. Whatever is about one event has its `event_id`, and a line
 * is about one event at most, so that an id finds that event's lines and no others: see `eventFields`.
 * Credentials and payloads are left out even when a caller passes them by mistake: see `cleanFields`.
 */
export function createLogger({ level, to }: LoggerNeeds): Logger {
  const options: LoggerOptions = {
    level,
    messageKey: 'message',
    errorKey: 'err',
    base: null,
    timestamp: () => stdTimeFunctions.isoTime().replace('"time"', '"timestamp"'),
    formatters: { level: (label) => ({ level: label }), log: cleanFields },
    // cleanFields has already made plain data of an error; pino's serializer would add its own members to it.
    hooks: { streamWrite: cleanLine },
    serializers: { err: (value: unknown) => value },
  }
  if (to.isTTY !== true) return pino(options, to)
  return pino(options, { write: (line: string) => to.write(formatLine(line)) })
}

/** The fields that every line about an event has. `correlation_id` is the event's id, as in request and row. */
export const eventFields = (event: { event_id: string; event_type: string }) => ({
  event_id: event.event_id,
  correlation_id: event.event_id,
  event_type: event.event_type,
})
