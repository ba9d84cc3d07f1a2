interface PublicRoute {
  /** Method and pattern as registered, and `(no query)` if only that is public. HEAD of a listed GET is public too. */
  readonly route: string
  /** Requests count against their address's budget. Probes and static files do not: a 429 there would restart a healthy server. */
  readonly limited: boolean
}

const open = (route: string): PublicRoute => ({ route, limited: true })
const free = (route: string): PublicRoute => ({ route, limited: false })

/** Every route that answers without a credential. A public route that is not in this list stops the start. */
export const publicRoutes: readonly PublicRoute[] = [
  free('GET /'),
  free('GET /livez'),
  free('GET /readyz'),
  free('GET /health'),
  free('GET /ui'),
  free('GET /ui/'),
  free('GET /ui/*'),
  free('GET /docs'),
  free('GET /docs/'),
  free('GET /docs/static/*'),
  free('GET /docs/static/start.js'),
  free('GET /docs/problems'),
  free('GET /docs/problems/:code'),
  free('GET /openapi.json'),
  open('POST /auth/sign-in'),
  open('GET /api/check-username'),
  open('GET /api/names/suggestions'),
  open('GET /api/names/live'),
  // With a query the address is a stream of events, for those who may read it.
  open('GET /stream (no query)'),
  free('GET /names'),
  free('GET /sse'),
  // The preflight of a browser carries no credential by definition.
  free('OPTIONS *'),
]
