import type { Event } from '@pulse/protocol/event'
import type { Condition, Filter, FilterBody } from '@pulse/protocol/filter'
import type { Page } from './answers.ts'
import type { CallOptions, Transport } from './transport.ts'

export type { Condition, Filter, FilterBody, SimpleFilter } from '@pulse/protocol/filter'

/** A filter to try, and the part of the past to try it on. Without `from` and `last_minutes`: the last hour. */
export interface FilterTrial {
  readonly condition: Condition
  /** First instant of receipt to look at (RFC 3339). */
  readonly from?: string | undefined
  /** Instant of receipt before which it ends; default now. */
  readonly to?: string | undefined
  /** In the place of `from`. */
  readonly last_minutes?: number | undefined
  /** Look at events of these types only. */
  readonly event_types?: readonly string[] | undefined
  /** Events to show, the newest ones; 1 to 100, default 20. */
  readonly limit?: number | undefined
}

/** What asking a filter of every event costs. */
export interface FilterCost {
  /** False: no value leads to it, so that it is asked of every event. */
  readonly selective: boolean
  /** Alternatives that it is made of. */
  readonly clauses: number
  readonly reason: string
}

/** A condition in every form that can say it. The simple form is left out, and the pattern null, where they cannot. */
export type FilterForms = Pick<Filter, 'event_types' | 'user_tiers' | 'min_amount' | 'pattern' | 'expression'>

/** What a filter would have let through. */
export interface FilterTrialResult extends FilterForms {
  readonly matched: number
  /** The same as a rate over what was looked at. */
  readonly per_hour: number
  readonly sample: readonly {
    readonly event: Event
    readonly position: string
    readonly received_at: string
  }[]
  /** Everything between `from` and `to` was looked at; `stopped_by` says why that is not all that was asked for. */
  readonly looked: {
    readonly from: string
    readonly to: string
    readonly records: number
    readonly stopped_by: 'time' | 'records' | 'log' | null
  }
  /** Null if it has too many alternatives to be counted. */
  readonly cost: FilterCost | null
  /** The problem that storing it would be answered with. */
  readonly refused: { readonly code: string; readonly detail: string } | null
}

/** Which stored filters to list. */
export interface FilterQuery {
  readonly subscriber_id?: string | undefined
  readonly cursor?: string | undefined
  readonly limit?: number | undefined
}

/** What subscribers get: their stored filters. Every method rejects with PulseError. */
export interface Filters {
  /**
   * Stores a filter; it applies to events from its `effective` position on. Rejects with `invalid_filter`,
   * `filter_too_wide`, or `conflict` if the subscriber has one of that name.
   */
  create(filter: FilterBody, options?: CallOptions): Promise<Filter>
  /** One page, by subscriber and name. */
  list(query?: FilterQuery, options?: CallOptions): Promise<Page<Filter>>
  /** One filter, `default` unless it is named. Rejects with `not_found`. */
  get(subscriber: string, name?: string, options?: CallOptions): Promise<Filter>
  /** Puts another condition in its place. Rejects with `not_found`, `invalid_filter`, `filter_too_wide`. */
  update(subscriber: string, name: string, condition: Condition, options?: CallOptions): Promise<Filter>
  /** Deletes it; what came before is still delivered by it. Rejects with `not_found`. */
  remove(subscriber: string, name: string, options?: CallOptions): Promise<void>
  /** Tries a filter on recent events and stores nothing. Rejects with `invalid_filter`. */
  test(trial: FilterTrial, options?: CallOptions): Promise<FilterTrialResult>
}

/** Makes the calls about filters. */
export function createFilters(transport: Transport): Filters {
  const pathOf = (subscriber: string, name: string) =>
    `/filters/${encodeURIComponent(subscriber)}/${encodeURIComponent(name)}`
  const send = async <Body>(call: Parameters<Transport['send']>[0], how?: CallOptions) =>
    (await transport.send<Body>(call, how)).body
  return {
    create: (filter, how) => send({ method: 'POST', path: '/filters', body: filter, repeatable: false }, how),
    list: (query = {}, how) =>
      send({ method: 'GET', path: '/filters', query: paramsOf(query), repeatable: true }, how),
    get: (subscriber, name = 'default', how) =>
      send({ method: 'GET', path: pathOf(subscriber, name), repeatable: true }, how),
    update: (subscriber, name, condition, how) =>
      send({ method: 'PUT', path: pathOf(subscriber, name), body: condition, repeatable: true }, how),
    // Not repeated when its fate is unknown: the second time it would be told as missing.
    remove: async (subscriber, name, how) =>
      void (await send({ method: 'DELETE', path: pathOf(subscriber, name), repeatable: false }, how)),
    test: (trial, how) => send({ method: 'POST', path: '/filters/test', body: trial, repeatable: true }, how),
  }
}

function paramsOf(query: FilterQuery): URLSearchParams {
  const params = new URLSearchParams()
  for (const [name, value] of Object.entries(query))
    if (value !== undefined) params.append(name, String(value))
  return params
}
