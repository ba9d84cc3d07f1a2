import type { Handler } from '@pulse/server'

/** A page view starts a session at its own time. */
export const pageView: Handler = (event) => ({ enriched: { session_start: event.timestamp } })
