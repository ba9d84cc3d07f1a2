import type { Access } from './access.ts'

/** One route as registered. */
export interface RouteEntry {
  readonly method: string
  /** Pattern, for example `/events/:event_id`. */
  readonly url: string
  readonly access: Access
  /** The route takes WebSockets only. */
  readonly webSocket: boolean
  /** The route takes only requests whose address has no query; with one it is another route's. */
  readonly withoutQuery: boolean
}

/** Remembers every route, for the answer 405 and for the tests that walk over all of them. */
export class RouteTable {
  readonly #entries: RouteEntry[] = []
  readonly #patterns = new Map<string, { pattern: RegExp; methods: Set<string>; webSocket: boolean }>()

  add(entry: RouteEntry): void {
    this.#entries.push(entry)
    // The wildcard of preflights would claim that every address exists.
    if (entry.url === '*') return
    const known = this.#patterns.get(entry.url) ?? {
      pattern: patternOf(entry.url),
      methods: new Set(),
      webSocket: entry.webSocket,
    }
    known.methods.add(entry.method)
    this.#patterns.set(entry.url, known)
  }

  /** True if a route at this address takes WebSockets. Only for requests that ask for one. */
  takesSockets(path: string): boolean {
    return [...this.#patterns.values()].some(({ webSocket, pattern }) => webSocket && pattern.test(path))
  }

  get entries(): readonly RouteEntry[] {
    return this.#entries
  }

  /** Methods that the address has, sorted; none if there is nothing. Only for requests that found no route. */
  methodsAt(path: string): readonly string[] {
    const methods = new Set<string>()
    for (const known of this.#patterns.values()) {
      if (known.pattern.test(path)) for (const method of known.methods) methods.add(method)
    }
    return [...methods].sort()
  }
}

function patternOf(url: string): RegExp {
  const source = url
    .split('/')
    .map((part) => {
      if (part === '*') return '.*'
      if (part.startsWith(':')) return '[^/]+'
      return part.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&')
    })
    .join('/')
  return new RegExp(`^${source}$`)
}
