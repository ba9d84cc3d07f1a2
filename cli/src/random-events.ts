import { newEventId } from '@pulse/client'
import type { SubmittedEvent } from '@pulse/protocol/event'

/** The event types that samples exist for. */
export const sampleTypes = ['purchase', 'user_signup', 'page_view', 'custom'] as const

const between = (least: number, most: number) => least + Math.floor(Math.random() * (most - least + 1))

function oneOf<Value>(values: readonly [Value, ...Value[]]): Value {
  return values[Math.floor(Math.random() * values.length)] ?? values[0]
}

const properties: Record<string, () => Record<string, unknown>> = {
  purchase: () => ({
    amount: Math.round((10 + Math.random() * 4990) * 100) / 100,
    product_id: `prod_${between(1000, 9999)}`,
    currency: oneOf(['USD', 'EUR', 'GBP']),
  }),
  user_signup: () => ({
    email: `user${between(1, 10_000)}@example.com`,
    source: oneOf(['web', 'mobile', 'api']),
  }),
  page_view: () => ({ url: `/page/${between(1, 100)}`, referrer: oneOf(['google', 'direct', 'social']) }),
  custom: () => ({ action: oneOf(['click', 'scroll', 'hover']), value: between(1, 100) }),
}

/** Makes up an event, of the given type or of any sample type; a type without samples gets no properties. */
export function randomEvent(type: string = oneOf(sampleTypes)): SubmittedEvent {
  return {
    event_id: newEventId(),
    event_type: type,
    user_id: `user_${between(1, 1000)}`,
    properties: properties[type]?.() ?? {},
  }
}
