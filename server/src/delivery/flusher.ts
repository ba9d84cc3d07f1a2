import type { Session } from './session.ts'

/** Under load events gather this long, so that one write carries many. */
const windowMs = 2

/**
 * Writes each session that has something to say once per round. The first news after a quiet moment is written in the
 * same turn of the event loop; when rounds follow each other closely they are spaced, because a write costs the
 * kernel about as much as encoding twenty events.
 */
export class Flusher {
  #dirty = new Set<Session>()
  #scheduled = false
  #flushedAt = 0
  readonly #failed: (session: Session, error: unknown) => void

  constructor(failed: (session: Session, error: unknown) => void) {
    this.#failed = failed
  }

  readonly add = (session: Session): void => {
    this.#dirty.add(session)
    if (this.#scheduled) return
    this.#scheduled = true
    const since = performance.now() - this.#flushedAt
    if (since >= windowMs) setImmediate(this.#flush)
    else setTimeout(this.#flush, windowMs)
  }

  readonly #flush = (): void => {
    this.#scheduled = false
    const sessions = this.#dirty
    this.#dirty = new Set()
    for (const session of sessions) {
      try {
        session.flush()
      } catch (error) {
        // One session's trouble is its own: thrown from here it would end the process, and every stream with it.
        this.#failed(session, error)
      }
    }
    this.#flushedAt = performance.now()
  }
}
