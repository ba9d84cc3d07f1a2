import type { IncomingMessage, Server } from 'node:http'
import type { Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import type { Http } from './http.ts'
import type { Upgrades } from './upgrade.ts'

/**
 * Connections on which nothing was ever asked. Browsers and other clients open some in advance; to Node they are
 * neither idle nor at work, and each would hold a close open until its time is up.
 */
export class SilentConnections {
  readonly #sockets = new Set<Socket>()

  /** Follows the connections of a server. */
  watch(server: Server, event: 'connection' | 'secureConnection'): void {
    const speaks = ({ socket }: IncomingMessage) => void this.#sockets.delete(socket)
    server.on(event, (socket: Socket) => {
      this.#sockets.add(socket)
      socket.once('close', () => this.#sockets.delete(socket))
    })
    server.on('request', speaks)
    server.on('upgrade', speaks)
  }

  /** Ends those of which not even a part of a request has come. */
  end(): void {
    for (const socket of this.#sockets) if (socket.bytesRead === 0) socket.destroy()
  }
}

/** How long clients with open connections are told of the end before it comes. */
const noticeMsMax = 300

interface ClosingNeeds {
  readonly servers: ReadonlySet<Server>
  readonly upgrades: Upgrades
  readonly silent: SilentConnections
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
export function closeGently(http: Http, { servers, upgrades, silent, drainMsMax }: ClosingNeeds): void {
  http.addHook('preClose', async () => {
    const startedMs = performance.now()
    upgrades.refuse()
    const open = new Set([...servers].filter((server) => server.listening))
    const connections = async () => Math.max(0, ...(await Promise.all([...open].map(countConnections))))
    while (performance.now() - startedMs < noticeMsMax && (await connections()) > 0) await delay(20)
    const sweep = setInterval(() => {
      silent.end()
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
