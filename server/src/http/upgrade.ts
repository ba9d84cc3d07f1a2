import { type IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import type { FastifyReply, FastifyRequest, onRequestAsyncHookHandler } from 'fastify'
import { ProblemError } from './problem-error.ts'

/** A connection that speaks no HTTP any more. */
export interface Upgrade {
  /** Nothing was read from it or written to it. Whoever took it listens for its errors and ends it. */
  readonly socket: Duplex
  /** What the client sent right behind its request. */
  readonly head: Buffer
}

interface Offer extends Upgrade {
  /** Lets go of the connection on the side of HTTP; false if it has ended meanwhile. */
  readonly release: () => boolean
  /** Counts the answer 101. */
  switched: () => void
}

const offered = Symbol('offered')
// The offer travels with the request itself: Fastify makes its own request from it, and nothing has to be looked up.
type OfferingRequest = IncomingMessage & { [offered]?: Offer | undefined }

/** True if the request asks to become a WebSocket, at a route that takes them. */
export function isUpgrade({ raw }: FastifyRequest): boolean {
  return offered in raw
}

/**
 * Takes the connection over from HTTP and hijacks the reply: from here on it is the caller's to answer with 101 and to
 * end. Until then the handler may throw any ProblemError, which is answered as HTTP. Undefined if the client has gone
 * meanwhile; then there is nothing left to do.
 */
export function takeUpgrade(request: FastifyRequest, reply: FastifyReply): Upgrade | undefined {
  const raw: OfferingRequest = request.raw
  const offer = raw[offered]
  if (offer === undefined) throw new Error('the request is no upgrade, or it was taken already')
  // What lives as long as the socket must not keep the answer that was never sent.
  raw[offered] = undefined
  reply.hijack()
  if (!offer.release()) return undefined
  offer.switched()
  return { socket: offer.socket, head: offer.head }
}

/**
 * True if the request asks for a WebSocket. Any other upgrade is ignored, as HTTP allows: Java's client and
 * `curl --http2` offer `h2c` with every request and expect an ordinary answer. A request with a body is none either.
 */
export function asksForWebSocket({ method, headers }: IncomingMessage): boolean {
  const hasBody = headers['transfer-encoding'] !== undefined || (headers['content-length'] ?? '0') !== '0'
  return method === 'GET' && headers.upgrade?.toLowerCase() === 'websocket' && !hasBody
}

interface UpgradesNeeds {
  /** Sends a request through the routes. */
  readonly route: (raw: IncomingMessage, response: ServerResponse) => void
  /** How long an upgrade may take until it is answered and has ended, or is taken. */
  readonly answerMsMax: number
}

/**
 * Brings upgrades through the ordinary routes, so that guards, validation and problems are those of every request, and
 * knows the sockets that came of them.
 */
export class Upgrades {
  readonly #needs: UpgradesNeeds
  readonly #taken = new Set<Duplex>()
  #closing = false

  constructor(needs: UpgradesNeeds) {
    this.#needs = needs
  }

  /** Routes an upgrade. What the routes answer is sent, and the connection closed; a handler may take it instead. */
  begin(raw: IncomingMessage, socket: Duplex, head: Buffer): void {
    // HTTP has taken its own listener away, and a reset that nobody listens for would end the process.
    socket.on('error', ignore)
    const response = new ServerResponse(raw)
    response.shouldKeepAlive = false
    response.once('finish', () => endAnswered(socket))
    // The server's own watch over slow requests has ended with the headers.
    const late = setTimeout(() => socket.destroy(), this.#needs.answerMsMax)
    const gone = () => clearTimeout(late)
    socket.once('close', gone)
    const offer: Offer = {
      socket,
      head,
      release: () => {
        gone()
        // A listener that stays would keep the request and its answer, which are as large as the socket, for its life.
        socket.removeListener('close', gone)
        response.detachSocket(socket as Socket)
        return this.#keep(socket)
      },
      switched: () => {},
    }
    ;(raw as OfferingRequest)[offered] = offer
    try {
      response.assignSocket(socket as Socket)
    } catch {
      // Sent behind a request that is not answered yet. No client of ours does that, and two answers would mix.
      socket.destroy()
      return
    }
    this.#needs.route(raw, response)
  }

  /** The check of a route that takes sockets only; it comes after the guard. `switched` counts an answer 101. */
  createCheck(switched: () => void): onRequestAsyncHookHandler {
    return async ({ raw }: { raw: OfferingRequest }) => {
      const offer = raw[offered]
      if (offer === undefined || raw.headers['sec-websocket-version'] !== '13') throw upgradeNeeded()
      if (!/^[+/\dA-Za-z]{22}==$/.test(raw.headers['sec-websocket-key'] ?? ''))
        throw new ProblemError('invalid_request', 'Sec-WebSocket-Key must be 16 bytes in base64.')
      if (this.#closing)
        throw new ProblemError('shutting_down', 'This server takes no new connections.', { retryAfter: 1 })
      offer.switched = switched
    }
  }

  /** From now on upgrades are answered 503; those who took one end it. */
  refuse(): void {
    this.#closing = true
  }

  /** Cuts what nobody has ended. */
  cut(): void {
    for (const socket of this.#taken) socket.destroy()
  }

  #keep(socket: Duplex): boolean {
    if (socket.destroyed) return false
    this.#taken.add(socket)
    socket.once('close', () => this.#taken.delete(socket))
    return true
  }
}

const ignore = () => {}

function upgradeNeeded(): ProblemError {
  const headers = { upgrade: 'websocket', connection: 'Upgrade', 'sec-websocket-version': '13' }
  return new ProblemError('upgrade_required', 'This address takes WebSocket connections only.', { headers })
}

/** Closes after the answer. What the client sent meanwhile is read: unread bytes would turn the close into a reset. */
function endAnswered(socket: Duplex): void {
  socket.resume()
  socket.end(() => socket.destroy())
}
