import type { DeliveryRecord } from './delivery-record.ts'

/** What two events must have in common for the later one to replace the earlier: the value at a JSON Pointer, as text. */
export function conflationKey(pointer: string): (delivery: DeliveryRecord) => string {
  const path = pointer
    .slice(1)
    .split('/')
    .map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~'))
  return ({ record }) => {
    let value: unknown = record.event
    for (const member of path)
      value = typeof value === 'object' && value !== null ? Reflect.get(value, member) : undefined
    return JSON.stringify(value) ?? ''
  }
}
