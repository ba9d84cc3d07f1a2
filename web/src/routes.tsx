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
import { failureFacts, remedyOf, sessionQuery } from './api/api.ts'
import type { LetterSearch } from './dead-letters/dead-letters.tsx'
import { buttonLook, EmptyState, Failure, Loading } from './design/design.ts'
import { readEventSearch } from './events/event-search.ts'
import { Shell } from './shell/shell.tsx'

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
  component: lazyRouteComponent(() => import('./sign-in/sign-in.tsx'), 'SignIn'),
})

const design = createRoute({
  getParentRoute: () => root,
  path: '/design',
  component: lazyRouteComponent(() => import('./gallery/gallery.tsx'), 'Gallery'),
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
  component: lazyRouteComponent(() => import('./overview/overview.tsx'), 'Overview'),
})

const events = createRoute({
  getParentRoute: () => signedIn,
  path: '/events',
  validateSearch: readEventSearch,
  component: lazyRouteComponent(() => import('./events/events.tsx'), 'Events'),
})

const event = createRoute({
  getParentRoute: () => signedIn,
  path: '/events/$eventId',
  component: lazyRouteComponent(() => import('./event/event.tsx'), 'EventPage'),
})

const deadLetters = createRoute({
  getParentRoute: () => signedIn,
  path: '/dead-letters',
  validateSearch: (raw: Record<string, unknown>): LetterSearch => ({
    ...text(raw, 'event_type'),
    ...text(raw, 'cause'),
    ...text(raw, 'handler'),
    ...text(raw, 'cursor'),
    ...text(raw, 'open'),
  }),
  component: lazyRouteComponent(() => import('./dead-letters/dead-letters.tsx'), 'DeadLetters'),
})

function NotFound() {
  return (
    <EmptyState
      icon="search"
      title="No such page"
      action={
        <Link to="/" className={buttonLook('primary')}>
          Overview
        </Link>
      }
    >
      The address is mistyped, or the page has gone.
    </EmptyState>
  )
}

function Broken({ error, reset }: { error: unknown; reset: () => void }) {
  return (
    <div className="mx-auto max-w-2xl py-8">
      <Failure facts={failureFacts(error)} remedy={remedyOf(error)} onRetry={reset} />
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
      signedIn.addChildren([overview, events, event, deadLetters]),
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
