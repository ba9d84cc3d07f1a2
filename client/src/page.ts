import type { Clock } from './clock.ts'

/** Reasons not to be connected: set and taken away by name. */
export interface Holds {
  hold(reason: string): void
  release(reason: string): void
}

interface EventSource {
  addEventListener(type: string, listener: () => void): void
  removeEventListener(type: string, listener: () => void): void
}

interface PageDocument extends EventSource {
  readonly visibilityState: string
}

/**
 * Watches the page that this runs in: `hidden` holds once nobody has seen the tab for `hiddenMsMax`, `offline` while the
 * browser says that there is no network. Does nothing outside of pages. Returns what ends it.
 */
export function watchPage(holds: Holds, clock: Clock, hiddenMsMax: number): () => void {
  const { document, navigator, addEventListener } = globalThis as {
    document?: PageDocument
    navigator?: { readonly onLine?: boolean }
    addEventListener?: unknown
  }
  if (document === undefined || typeof addEventListener !== 'function') return () => {}
  const window = globalThis as unknown as EventSource
  let cancel: (() => void) | undefined
  const seen = () => {
    cancel?.()
    cancel = undefined
    if (document.visibilityState !== 'hidden') holds.release('hidden')
    else if (Number.isFinite(hiddenMsMax)) cancel = clock.after(hiddenMsMax, () => holds.hold('hidden'))
  }
  const online = () => holds.release('offline')
  const offline = () => holds.hold('offline')
  document.addEventListener('visibilitychange', seen)
  window.addEventListener('online', online)
  window.addEventListener('offline', offline)
  if (navigator?.onLine === false) offline()
  seen()
  return () => {
    cancel?.()
    document.removeEventListener('visibilitychange', seen)
    window.removeEventListener('online', online)
    window.removeEventListener('offline', offline)
  }
}
