import type { IncomingMessage, Server } from 'node:http'
import type { FastifyServerOptions } from 'fastify'

type RouterOptions = NonNullable<FastifyServerOptions<Server>['routerOptions']>
type Constraint = NonNullable<RouterOptions['constraints']>[string]
type Handlers = ReturnType<Constraint['storage']>

/**
 * Lets two routes share an address: one with `constraints: { query: 'none' }` takes requests whose address has no query,
 * the other all the rest. Like the router it counts what follows a `#`, which no browser sends, as a query.
 */
export const withoutQuery: Constraint = {
  name: 'query',
  storage: (): Handlers => {
    const handlers = new Map<string, ReturnType<Handlers['get']>>()
    return {
      get: (value) => handlers.get(value) ?? null,
      set: (value, handler) => void handlers.set(value, handler),
    }
  },
  validate: (value) => {
    if (value !== 'none') throw new Error(`a route cannot ask for the query ${String(value)}`)
  },
  deriveConstraint: ({ url = '' }: IncomingMessage) => (/[?#]/.test(url) ? 'some' : 'none'),
}
