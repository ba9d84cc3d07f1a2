import type { Logger } from 'pino'
import { Counter, type Registry } from 'prom-client'

/** How requests were answered since the start, in numbers that only grow. */
export interface Answers {
  readonly all: number
  /** 401, 403 and 429: who asked had no right to it, or asked too often. */
  readonly refused: number
  /** 500 and above. */
  readonly failed: number
}

const refusals: ReadonlySet<number> = new Set([401, 403, 429])

/** Where the HTTP layer says what happened. */
export interface HttpReport {
  answers(): Answers
  /** One counter per route: `answered(status)` is called for every answer. */
  route(method: string, route: string): (status: number) => void
  internalError(requestId: string, error: unknown): void
  clientError(code: string): void
  connectionDropped(): void
  certificateReloaded(): void
  certificateNotReloaded(error: unknown): void
}

/** Makes the report. Metrics: `pulse_http_requests_total`, `pulse_http_client_errors_total`, `pulse_http_connections_dropped_total`. */
export function createHttpReport(to: { log: Logger; metrics: Registry }): HttpReport {
  const counts: { method: string; route: string; classes: number[] }[] = []
  new Counter({
    name: 'pulse_http_requests_total',
    help: 'Answers by method, route and status class.',
    labelNames: ['method', 'route', 'status'],
    registers: [to.metrics],
    // Counting per answer in plain numbers and labelling only when scraped keeps the hot path free of label hashing.
    collect() {
      this.reset()
      for (const { method, route, classes } of counts) {
        classes.forEach((count, index) => {
          if (count > 0) this.inc({ method, route, status: `${index + 1}xx` }, count)
        })
      }
    },
  })
  const answers = { all: 0, refused: 0, failed: 0 }
  const clientErrors = new Counter({
    name: 'pulse_http_client_errors_total',
    help: 'Requests that could not be read as HTTP, by what was wrong.',
    labelNames: ['code'],
    registers: [to.metrics],
  })
  const dropped = new Counter({
    name: 'pulse_http_connections_dropped_total',
    help: 'Connections refused because the limit of open connections was reached.',
    registers: [to.metrics],
  })
  return {
    answers: () => ({ ...answers }),
    route: (method, route) => {
      const classes = [0, 0, 0, 0, 0]
      counts.push({ method, route, classes })
      return (status) => {
        const index = Math.min(4, Math.max(0, Math.trunc(status / 100) - 1))
        classes[index] = (classes[index] ?? 0) + 1
        answers.all++
        if (status >= 500) answers.failed++
        else if (refusals.has(status)) answers.refused++
      }
    },
    internalError: (requestId, error) =>
      to.log.error({ request_id: requestId, err: error }, 'internal error'),
    clientError: (code) => clientErrors.inc({ code }),
    connectionDropped: () => dropped.inc(),
    certificateReloaded: () => to.log.info('TLS certificate reloaded'),
    certificateNotReloaded: (error) => to.log.error({ err: error }, 'TLS certificate could not be reloaded'),
  }
}
