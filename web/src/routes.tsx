import type { QueryClient } from '@tanstack/react-query'
import {
  createRootRouteWithContext,
  createRoute,
  createRouter,
  Link,
  lazyRouteComponent,
  Outlet,
  redirect,
} from '@tanstack/react-router'
import { useEffect } from 'react'
import { failureFacts, isPassing, pulse, remedyOf, sessionQuery } from './api/api.ts'
import { part } from './api/part.ts'
import type { LetterSearch } from './dead-letters/dead-letters.tsx'
import { buttonLook, EmptyState, Failure, Loading } from './design/design.ts'
import { readEventSearch } from './events/event-search.ts'
import type { LabSearch } from './filter-lab/filter-lab.tsx'
import { PageTitle, Shell } from './shell/shell.tsx'
import type { SubscriptionSearch } from './subscriptions/subscriptions.tsx'

interface RouteContext {
  readonly queries: QueryClient
}

const root = createRootRouteWithContext<RouteContext>()({ component: Outlet })

const text = (raw: Record<string, unknown>, name: string) => {
  const value = raw[name]
  return typeof value === 'string' && value !== '' ? { [name]: value } : {}
}

const signIn = createRoute({
  getParentRoute: () => root,
  path: '/sign-in',
  validateSearch: (raw: Record<string, unknown>): { next?: string } => text(raw, 'next'),
  component: lazyRouteComponent(
    part(() => import('./sign-in/sign-in.tsx')),
    'SignIn',
  ),
})

const design = createRoute({
  getParentRoute: () => root,
  path: '/design',
  component: lazyRouteComponent(
    part(() => import('./gallery/gallery.tsx')),
    'Gallery',
  ),
})

// Every page but the two above asks first who is there, so that nobody sees a page full of refusals.
const signedIn = createRoute({
  getParentRoute: () => root,
  id: 'signed-in',
  beforeLoad: async ({ context, location }) => {
    const session = await context.queries.ensureQueryData(sessionQuery)
    if (!session)
      throw redirect({ to: '/sign-in', search: location.href === '/' ? {} : { next: location.href } })
  },
  component: Shell,
})

const overview = createRoute({
  getParentRoute: () => signedIn,
  path: '/',
  component: lazyRouteComponent(
    part(() => import('./overview/overview.tsx')),
    'Overview',
  ),
})

const events = createRoute({
  getParentRoute: () => signedIn,
  path: '/events',
  validateSearch: readEventSearch,
  component: lazyRouteComponent(
    part(() => import('./events/events.tsx')),
    'Events',
  ),
})

const event = createRoute({
  getParentRoute: () => signedIn,
  path: '/events/$eventId',
  component: lazyRouteComponent(
    part(() => import('./event/event.tsx')),
    'EventPage',
  ),
})

const deadLetters = createRoute({
  getParentRoute: () => signedIn,
  path: '/dead-letters',
  validateSearch: (raw: Record<string, unknown>): LetterSearch => ({
    ...text(raw, 'event_type'),
    ...text(raw, 'cause'),
    ...text(raw, 'handler'),
    ...text(raw, 'webhook'),
    ...text(raw, 'cursor'),
    ...text(raw, 'open'),
  }),
  component: lazyRouteComponent(
    part(() => import('./dead-letters/dead-letters.tsx')),
    'DeadLetters',
  ),
})

const live = createRoute({
  getParentRoute: () => signedIn,
  path: '/live',
  validateSearch: (raw: Record<string, unknown>): { filter?: string } => text(raw, 'filter'),
  component: lazyRouteComponent(
    part(() => import('./live/live.tsx')),
    'Live',
  ),
})

const subscriptions = createRoute({
  getParentRoute: () => signedIn,
  path: '/subscriptions',
  validateSearch: (raw: Record<string, unknown>): SubscriptionSearch => ({
    ...text(raw, 'view'),
    ...text(raw, 'subscriber'),
    ...text(raw, 'cursor'),
    ...text(raw, 'open'),
    ...text(raw, 'expression'),
  }),
  component: lazyRouteComponent(
    part(() => import('./subscriptions/subscriptions.tsx')),
    'Subscriptions',
  ),
})

const filterLab = createRoute({
  getParentRoute: () => signedIn,
  path: '/filter-lab',
  validateSearch: (raw: Record<string, unknown>): LabSearch => ({
    ...text(raw, 'form'),
    ...text(raw, 'filter'),
    ...text(raw, 'last'),
    ...text(raw, 'view'),
    ...text(raw, 'event'),
    ...text(raw, 'subscriber'),
  }),
  component: lazyRouteComponent(
    part(() => import('./filter-lab/filter-lab.tsx')),
    'FilterLab',
  ),
})

function NotFound() {
  return (
    <>
      <PageTitle name="No such page" />
      <EmptyState
        icon="search"
        title="There is nothing at this address"
        action={
          <Link to="/" className={buttonLook('primary')}>
            Overview
          </Link>
        }
      >
        It is mistyped, or the page has gone.
      </EmptyState>
    </>
  )
}

// Every other address, so that the way to the pages stands beside it.
const unknown = createRoute({ getParentRoute: () => signedIn, path: '$', component: NotFound })

const askEveryMs = 3000

// From the beginning: a script that failed to load once is not asked for again by every browser.
const again = () => window.location.reload()

/** What stands in for a page that could not be shown. It goes on by itself where that can help. */
function Broken({ error }: { error: unknown }) {
  useEffect(() => {
    if (!isPassing(error)) return
    const timer = setInterval(() => void pulse.health({ retriesMax: 0 }).then(again, () => {}), askEveryMs)
    return () => clearInterval(timer)
  }, [error])
  return (
    <div className="mx-auto max-w-2xl py-8">
      <Failure facts={failureFacts(error)} remedy={remedyOf(error)} onRetry={again} />
    </div>
  )
}

// The address reads like a request to the API: `?user_id=ada&properties.amount=42`, not JSON in percent signs.
const parseSearch = (search: string) => Object.fromEntries(new URLSearchParams(search))
const stringifySearch = (search: Record<string, unknown>) => {
  const query = new URLSearchParams()
  for (const [name, value] of Object.entries(search)) if (value !== undefined) query.set(name, String(value))
  const written = query.toString()
  return written === '' ? '' : `?${written}`
}

/** Makes the router of the dashboard, which lives under `/ui`. */
export function createPages(queries: QueryClient) {
  return createRouter({
    routeTree: root.addChildren([
      signIn,
      design,
      signedIn.addChildren([overview, live, events, event, deadLetters, subscriptions, filterLab, unknown]),
    ]),
    basepath: '/ui',
    context: { queries },
    defaultPreload: 'intent',
    defaultPendingComponent: Loading,
    defaultErrorComponent: Broken,
    defaultNotFoundComponent: NotFound,
    parseSearch,
    stringifySearch,
  })
}

declare module '@tanstack/react-router' {
  interface Register {
    router: ReturnType<typeof createPages>
  }
}
