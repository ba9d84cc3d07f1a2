import { closeCodes } from '@pulse/protocol/close-codes'
import { typedNameSchema } from '@pulse/protocol/name'
import { type RawData, type WebSocket, WebSocketServer } from 'ws'
import { z } from 'zod'
import { addressName } from '../http/address-name.ts'
import type { Http } from '../http/http.ts'
import { ProblemError } from '../http/problem-error.ts'
import { takeUpgrade } from '../http/upgrade.ts'
import type { Budgets } from './budgets.ts'
import type { Names } from './names.ts'

/** Of the socket for those who type. */
export const nameSocketLimits = {
  /** The longest name as JSON, with every character escaped. */
  frameBytesMax: 8_192,
  connectionsMax: 2_000,
  connectionsPerAddressMax: 50,
  /** Answers that a client may leave unread. */
  unreadBytesMax: 65_536,
  /** Names that wait for the database on one socket; who types faster loses the oldest answers anyway. */
  openMax: 8,
  heartbeatMs: 30_000,
} as const

const questionSchema = z.strictObject({ id: z.int().nonnegative(), username: typedNameSchema })

export interface NameSocketNeeds {
  readonly names: Pick<Names, 'check'>
  readonly budgets: Budgets
}

/**
 * Registers the socket for those who type: `{"id": 1, "username": "ada"}` is answered with the same `id` and either what
 * `GET /api/check-username` answers or `code` and `detail` of its problem. Ends all sockets when it is disposed of.
 */
export function nameSocketRoute(http: Http, needs: NameSocketNeeds): AsyncDisposable {
  const server = new WebSocketServer({
    noServer: true,
    maxPayload: nameSocketLimits.frameBytesMax,
    clientTracking: true,
  })
  const answered = new WeakSet<WebSocket>()
  /** Sockets by address. */
  const open = new Map<string, number>()
  const heartbeat = setInterval(() => beat(server.clients, answered), nameSocketLimits.heartbeatMs)
  heartbeat.unref()
  http.get('/api/names/live', {
    config: { access: 'public', webSocket: true },
    schema: {
      tags: ['names'],
      summary: 'Ask for names while they are typed',
      description:
        'A WebSocket. Send `{"id": 1, "username": "ada"}`; the answer has the same `id`, and `available` as the check has it, or ' +
        '`code` and `detail` of a problem.',
    },
    onRequest: async ({ ip }) => {
      const full = server.clients.size >= nameSocketLimits.connectionsMax
      if (full || (open.get(addressName(ip)) ?? 0) >= nameSocketLimits.connectionsPerAddressMax)
        throw new ProblemError('rate_limited', 'Too many sockets ask for names.', { retryAfter: 10 })
    },
    handler: (request, reply) => {
      const address = request.ip
      const upgrade = takeUpgrade(request, reply)
      if (!upgrade) return
      server.handleUpgrade(request.raw, upgrade.socket, upgrade.head, (socket) => {
        answered.add(socket)
        socket.on('pong', () => answered.add(socket))
        count(open, addressName(address), 1)
        socket.on('close', () => count(open, addressName(address), -1))
        serve(socket, address, needs)
      })
    },
  })
  return {
    [Symbol.asyncDispose]: async () => {
      clearInterval(heartbeat)
      for (const socket of server.clients) socket.close(closeCodes.draining, 'the server stops')
      server.close()
    },
  }
}

function count(open: Map<string, number>, name: string, by: number): void {
  const sockets = (open.get(name) ?? 0) + by
  if (sockets === 0) open.delete(name)
  else open.set(name, sockets)
}

/** One that has not answered the ping before is gone. */
function beat(sockets: ReadonlySet<WebSocket>, answered: WeakSet<WebSocket>): void {
  for (const socket of sockets) {
    if (!answered.delete(socket)) socket.terminate()
    else socket.ping()
  }
}

function serve(socket: WebSocket, address: string, { names, budgets }: NameSocketNeeds): void {
  let open = 0
  socket.on('error', () => {}) // the close that follows it tells
  const answer = (id: number, body: object) => {
    if (socket.readyState !== socket.OPEN) return
    if (socket.bufferedAmount > nameSocketLimits.unreadBytesMax) socket.terminate()
    else socket.send(JSON.stringify({ id, ...body }))
  }
  socket.on('message', (data: RawData, isBinary: boolean) => {
    const question = isBinary ? undefined : read(data)
    if (!question) return socket.close(closeCodes.invalid_frame, 'send {"id": 1, "username": "ada"}')
    const { id, username } = question
    if (open >= nameSocketLimits.openMax)
      return answer(id, { code: 'rate_limited', detail: 'Wait for the answers.' })
    open++
    const check = async () => {
      budgets.take(address)
      return await names.check(username)
    }
    check()
      .then(
        (found) => answer(id, found),
        (error: unknown) => answer(id, problemOf(error)),
      )
      .finally(() => {
        open--
      })
  })
}

function read(data: RawData): z.infer<typeof questionSchema> | undefined {
  try {
    return questionSchema.safeParse(JSON.parse(String(data))).data
  } catch {
    return undefined
  }
}

function problemOf(error: unknown): object {
  if (!(error instanceof ProblemError)) return { code: 'internal', detail: 'A mistake of ours.' }
  return { code: error.code, detail: error.message, ...error.options.members }
}
