import type { LogRecord } from './log.ts'

/**
 * Types of this family are the server's own. Such a record is in the log for those who follow it, to tell them that
 * something has changed from here on; it is no event: nobody handles, finds or receives it.
 */
export const controlPrefix = 'pulse.'

/** Whether a type is reserved for control records. */
export const isControlType = (eventType: string): boolean => eventType.startsWith(controlPrefix)

/** Whether a record is a control record. It is asked of every record, so most are not parsed for it. */
export function isControl(record: LogRecord): boolean {
  return record.value.includes(`"${controlPrefix}`) && isControlType(record.event.event_type)
}
