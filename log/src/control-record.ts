import type { LogRecord } from './log.ts'

/**
 * Types of this family are the server's own. Such a record is in the log for those who follow it, to tell them that
 * something has changed from here on; it is no event: nobody handles, finds or receives it.
 */
export const controlPrefix = 'pulse.'

/** Whether a type is reserved for control records. */
export const isControlType = (eventType: string): boolean => eventType.startsWith(controlPrefix)

/**
 * Whether a record is a control record. It is asked of every record, so most are not parsed for it. What is no event at
 * all, which others may write to a topic of Kafka, is none either.
 */
export function isControl(record: LogRecord): boolean {
  if (!record.value.includes(`"${controlPrefix}`)) return false
  try {
    return isControlType(record.event.event_type)
  } catch {
    return false
  }
}
