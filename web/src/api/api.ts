import type { DeadLetterQuery, EventQuery, History, Session } from '@pulse/client'
// Not the whole client: the pages that follow a stream bring what that takes, the others only ask.
import { type Calls, createCalls, createCallsTransport, PulseError } from '@pulse/client/calls'
import { keepPreviousData, type QueryClient, queryOptions } from '@tanstack/react-query'
import type { FailureFacts } from '../design/design.ts'
import { joinHistory, secondsToFetch } from './history.ts'

export type {
  DeadLetter,
  EventLife,
  EventQuery,
  EventRow,
  Health,
  History,
  LifeStep,
  Page,
  Session,
  Summary,
} from '@pulse/client'
export { PulseError }

const here = { url: '' } as const

/** The calls of a server, made with this credential. */
export const callsWith = (credential: string): Calls =>
  createCalls(here, createCallsTransport({ ...here, credential }))

/** The way to the server that sent this page; the browser adds its session cookie. */
export const transport = createCallsTransport(here)

/** The calls of that server. */
export const pulse = createCalls(here, transport)

// What a page asks for again in a second anyway is not repeated by the client as well.
const once = (signal: AbortSignal) => ({ signal, retriesMax: 0, timeoutMsMax: 10_000 })

/** True for the failure that only signing in mends. */
export const isUnauthenticated = (error: unknown): boolean =>
  error instanceof PulseError && error.code === 'unauthenticated'

/** True for a failure that may be over the next time: a page that shows live data goes on asking. */
export const isPassing = (error: unknown): boolean => error instanceof PulseError && error.retryable

/** Notes for the pages of strangers, which bring nothing of this, whether it is worth asking who looks at them. */
export function noteSignedIn(isSignedIn: boolean): void {
  try {
    if (isSignedIn) localStorage.setItem('pulse.signed-in', '')
    else localStorage.removeItem('pulse.signed-in')
  } catch {
    // Storage may be blocked; those pages then show what they show to a stranger.
  }
}

/** Who is signed in; null if nobody is. */
export const sessionQuery = queryOptions({
  queryKey: ['session'],
  queryFn: async ({ signal }): Promise<Session | null> => {
    try {
      const session = await pulse.session({ signal, retriesMax: 0 })
      noteSignedIn(true)
      return session
    } catch (error) {
      if (!isUnauthenticated(error)) throw error
      noteSignedIn(false)
      return null
    }
  },
  staleTime: 60_000,
})

/** How the server's parts are. */
export const healthQuery = queryOptions({
  queryKey: ['health'],
  queryFn: ({ signal }) => pulse.health(once(signal)),
})

/** What the server measures of itself now. */
export const summaryQuery = queryOptions({
  queryKey: ['summary'],
  queryFn: ({ signal }) => pulse.metrics.summary(once(signal)),
})

/** The last `seconds` of measurements; after the first answer only what is missing is fetched and joined. */
export const historyQuery = (client: QueryClient, seconds: number) =>
  queryOptions({
    queryKey: ['history', seconds],
    queryFn: async ({ signal, queryKey }) => {
      const held = client.getQueryData<History>(queryKey)
      const missing = secondsToFetch(held, Date.now() / 1000, seconds)
      return joinHistory(held, await pulse.metrics.history({ seconds: missing }, once(signal)), seconds)
    },
    // The history is joined by hand; comparing 14 long columns member by member each second would only cost.
    structuralSharing: false,
  })

/** One page of events. The page before stays in sight while the next one comes. */
export const eventsQuery = (query: EventQuery) =>
  queryOptions({
    queryKey: ['events', query],
    queryFn: ({ signal }) => pulse.events.list(query, { signal, retriesMax: 1 }),
    placeholderData: keepPreviousData,
  })

/** The same for a query that counts back from now: it is written anew each time it is asked, and known by `key`. */
export const searchQuery = (key: object, query: () => EventQuery) =>
  queryOptions({
    queryKey: ['events', 'search', key],
    queryFn: ({ signal }) => pulse.events.list(query(), { signal, retriesMax: 1 }),
    placeholderData: keepPreviousData,
  })

/** The life of one event. */
export const eventQuery = (eventId: string) =>
  queryOptions({
    queryKey: ['event', eventId],
    queryFn: ({ signal }) => pulse.events.get(eventId, { signal, retriesMax: 1 }),
  })

/** One page of dead letters. */
export const deadLettersQuery = (query: DeadLetterQuery) =>
  queryOptions({
    queryKey: ['dead-letters', query],
    queryFn: ({ signal }) => pulse.deadLetters.list(query, { signal, retriesMax: 1 }),
    placeholderData: keepPreviousData,
  })

/** One dead letter, for a link to one that is not among those loaded. */
export const deadLetterQuery = (id: string) =>
  queryOptions({
    queryKey: ['dead-letter', id],
    queryFn: ({ signal }) => pulse.deadLetters.get(id, { signal, retriesMax: 1 }),
  })

/** The event types that the server knows. */
export const eventTypesQuery = queryOptions({
  queryKey: ['event-types'],
  queryFn: ({ signal }) => pulse.eventTypes({ signal }),
  staleTime: 30_000,
})

const clientSide: Partial<Record<string, string>> = {
  network: 'No answer from the server',
  timeout: 'The server did not answer in time',
  unexpected_answer: 'The answer was not from Pulse',
}

/** Puts any failure into words: the server's own when it answered, plain ones when it did not. */
export function failureFacts(error: unknown): FailureFacts {
  if (!(error instanceof PulseError))
    return {
      title: 'The page made a mistake',
      detail: error instanceof Error ? error.message : String(error),
    }
  const title = clientSide[error.code]
  if (title !== undefined)
    return { title, detail: error.detail, ...(error.requestId ? { requestId: error.requestId } : {}) }
  return {
    title: error.title,
    detail: error.detail,
    code: error.code,
    errors: error.errors,
    ...(error.requestId ? { requestId: error.requestId } : {}),
  }
}

/** What to do about a failure, where there is something that the reader can do. */
export function remedyOf(error: unknown): string | undefined {
  if (!(error instanceof PulseError)) return undefined
  const remedies: Partial<Record<PulseError['code'], string>> = {
    network:
      'Is the server running? Start it with “npm start”; this page goes on by itself as soon as it answers.',
    timeout: 'The server may be overloaded. This page asks again.',
    forbidden: 'Your sign-in does not allow this. Ask an administrator for a link with a wider role.',
    query_too_wide:
      'Choose an event type and a time span of at most 24 hours, or let the type declare the property indexed.',
    query_timeout: 'Narrow the query by type, user or time.',
    not_found: 'It may have been removed by retention, or the address is mistyped.',
  }
  return remedies[error.code]
}
