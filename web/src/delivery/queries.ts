import type { FilterQuery, FilterTrial } from '@pulse/client'
import { createFilters } from '@pulse/client/filters'
import { createStreams } from '@pulse/client/streams'
import { keepPreviousData, queryOptions } from '@tanstack/react-query'
import { transport } from '../api/api.ts'

export type {
  Condition,
  Explanation,
  Filter,
  FilterForms,
  FilterTrialResult,
  OpenStream,
} from '@pulse/client'

/** The calls about filters; apart from the others, because only the pages that deal with them bring them. */
export const filters = createFilters(transport)
const streams = createStreams(transport)

/** One page of stored filters. */
export const filtersQuery = (query: FilterQuery) =>
  queryOptions({
    queryKey: ['filters', query],
    queryFn: ({ signal }) => filters.list(query, { signal, retriesMax: 1 }),
    placeholderData: keepPreviousData,
  })

/** One stored filter, for a link to one that is not among those loaded. */
export const filterQuery = (subscriber: string, name: string) =>
  queryOptions({
    queryKey: ['filter', subscriber, name],
    queryFn: ({ signal }) => filters.get(subscriber, name, { signal, retriesMax: 1 }),
  })

/** Streams that are open on the server that answers: of one subscriber, or all. */
export const streamsQuery = (subscriber: string | undefined) =>
  queryOptions({
    queryKey: ['streams', subscriber ?? ''],
    queryFn: async ({ signal }) => (await streams.list({ subscriber }, { signal, retriesMax: 0 })).data,
    placeholderData: keepPreviousData,
  })

/** What a filter would have let through. Asked once: the past that it was tried on does not change by itself. */
export const trialQuery = (trial: FilterTrial) =>
  queryOptions({
    queryKey: ['trial', trial],
    queryFn: ({ signal }) => filters.test(trial, { signal, retriesMax: 1 }),
    staleTime: Number.POSITIVE_INFINITY,
    placeholderData: keepPreviousData,
  })

/** Why a subscriber got an event, or did not. */
export const explanationQuery = (event: string, subscriber: string) =>
  queryOptions({
    queryKey: ['explanation', event, subscriber],
    queryFn: ({ signal }) => streams.explain({ event, subscriber }, { signal, retriesMax: 1 }),
  })
