import type { Logger } from 'pino'

/** Where operations says what happened. */
export interface OperationsReport {
  serviceChanged(service: string, up: boolean, error: unknown): void
  backlogUnknown(error: unknown): void
  diskUnknown(error: unknown): void
}

/** Makes the report. What repeats every second is said once, until it has worked again. */
export function createOperationsReport(
  log: Logger,
): OperationsReport & { backlogKnown(): void; diskKnown(): void } {
  let backlogFails = false
  let diskFails = false
  return {
    serviceChanged: (service, up, error) => {
      if (up) log.info({ service }, 'service is up again')
      else log.error({ service, err: error }, 'service is down')
    },
    backlogUnknown: (error) => {
      if (!backlogFails) log.warn({ err: error }, 'backlog cannot be measured')
      backlogFails = true
    },
    backlogKnown: () => {
      backlogFails = false
    },
    diskUnknown: (error) => {
      if (!diskFails) log.warn({ err: error }, 'disk cannot be measured')
      diskFails = true
    },
    diskKnown: () => {
      diskFails = false
    },
  }
}
