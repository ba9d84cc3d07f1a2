import type { Server } from 'node:http'
import { setTimeout as delay } from 'node:timers/promises'
import type { Http } from './http.ts'
import type { Upgrades } from './upgrade.ts'

/** How long clients with open connections are told of the end before it comes. */
const noticeMsMax = 300

interface ClosingNeeds {
  readonly servers: ReadonlySet<Server>
  readonly upgrades: Upgrades
  readonly drainMsMax: number
}

/**
 * Closing gives notice, stops accepting, lets every answer under way finish and cuts what is left after `drainMsMax`.
 * Notice means that answers go on for a moment with `Connection: close` (Fastify adds it), so that clients with kept
 * connections and load balancers learn of the end from an answer, not from a request that is cut off. Connections that
 * fall idle later are closed as they do: without this each would hold the close open until its keep-alive ends.
 *
 * Sockets that were upgraded belong to those who took them, who end them meanwhile in their own words; the close waits
 * for that, and `drainMsMax` is their time too.
 */
export function closeGently(http: Http, { servers, upgrades, drainMsMax }: ClosingNeeds): void {
  http.addHook('preClose', async () => {
    const startedMs = performance.now()
    upgrades.refuse()
    const open = new Set([...servers].filter((server) => server.listening))
    const connections = async () => Math.max(0, ...(await Promise.all([...open].map(countConnections))))
    while (performance.now() - startedMs < noticeMsMax && (await connections()) > 0) await delay(20)
    const sweep = setInterval(() => {
      const late = performance.now() - startedMs > drainMsMax
      if (late) upgrades.cut()
      for (const server of servers) {
        if (late) server.closeAllConnections()
        else server.closeIdleConnections()
      }
    }, 50)
    if (open.size === 0) clearInterval(sweep)
    for (const server of open) {
      server.once('close', () => {
        open.delete(server)
        if (open.size === 0) clearInterval(sweep)
      })
    }
  })
}

const countConnections = (server: Server) =>
  new Promise<number>((resolve) => server.getConnections((_, count) => resolve(count ?? 0)))
