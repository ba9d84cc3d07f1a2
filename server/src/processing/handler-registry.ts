import type { Handler } from '../config/define-config.ts'
import { custom } from './handlers/custom.ts'
import { pageView } from './handlers/page-view.ts'
import { purchase } from './handlers/purchase.ts'
import { userSignup } from './handlers/user-signup.ts'

const builtIn: Readonly<Record<string, Handler>> = {
  purchase,
  user_signup: userSignup,
  page_view: pageView,
  custom,
}

/** A handler and the name under which it was registered. */
export interface NamedHandler {
  readonly name: string
  readonly handle: Handler
  /** One of ours, which leaves its event as it is. */
  readonly builtIn: boolean
}

/**
 * Finds the handler of an event type: the type itself, else the longest family (`order.item.*` before `order.*`),
 * else `*`; a team's own before the built-in one; `custom` if there is none.
 */
export class HandlerRegistry {
  readonly #exact = new Map<string, NamedHandler>()
  readonly #families: { readonly prefix: string; readonly handler: NamedHandler }[] = []
  readonly #any: NamedHandler
  readonly #found = new Map<string, NamedHandler>()

  constructor(handlers: Readonly<Record<string, Handler>>) {
    for (const [name, handle] of Object.entries({ ...builtIn, ...handlers })) {
      const handler = { name, handle, builtIn: !Object.hasOwn(handlers, name) }
      if (name.endsWith('.*')) this.#families.push({ prefix: name.slice(0, -1), handler })
      else this.#exact.set(name, handler)
    }
    this.#families.sort((a, b) => b.prefix.length - a.prefix.length)
    this.#any = this.#exact.get('*') ?? { name: 'custom', handle: custom, builtIn: true }
  }

  /** The handler of a type; there is always one. */
  find(eventType: string): NamedHandler {
    const known = this.#found.get(eventType)
    if (known) return known
    const family = this.#families.find(({ prefix }) => eventType.startsWith(prefix))
    const handler = this.#exact.get(eventType) ?? family?.handler ?? this.#any
    // Types come from clients, so what is remembered of them is bounded.
    if (this.#found.size < 10_000) this.#found.set(eventType, handler)
    return handler
  }
}
