import { createHash } from 'node:crypto'
import type { ClientRequest, IncomingMessage } from 'node:http'
import { request as plainRequest } from 'node:http'
import { request as secureRequest } from 'node:https'
import type { Duplex } from 'node:stream'
import { problemSchema } from '@pulse/protocol/problem'

/** What comes back for an upgrade: a socket with its first message, or a problem after which the connection has ended. */
export type UpgradeAnswer =
  | { readonly status: 101; readonly socket: Duplex; readonly first: string }
  | {
      readonly status: number
      readonly headers: IncomingMessage['headers']
      readonly problem: ReturnType<typeof problemSchema.parse>
    }

export const handshake = {
  connection: 'Upgrade',
  upgrade: 'websocket',
  'sec-websocket-version': '13',
  'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==',
} as const

/** Asks for a WebSocket with exactly these headers besides those of the handshake. Rejects if no answer comes. */
export function askForSocket(
  url: string | URL,
  headers: Readonly<Record<string, string>> = {},
  tls: { readonly ca?: string } = {},
): Promise<UpgradeAnswer> {
  const { promise, resolve, reject } = Promise.withResolvers<UpgradeAnswer>()
  const options = { headers: { ...handshake, ...headers }, agent: false, ...tls }
  const secure = String(url).startsWith('https:')
  const sent: ClientRequest = (secure ? secureRequest : plainRequest)(url, options)
  sent.on('error', reject)
  sent.on('upgrade', (_answer, socket, head) => {
    const opened = (bytes: Buffer) => resolve({ status: 101, socket, first: bytes.toString('utf8', 2) })
    socket.on('error', () => {})
    if (head.length > 0) opened(head)
    else socket.once('data', opened)
  })
  sent.on('response', (answer) => {
    let body = ''
    answer.setEncoding('utf8')
    answer.on('data', (text: string) => {
      body += text
    })
    const { statusCode: status = 0, headers: sentBack } = answer
    // The answer counts once the connection has ended as well.
    const parts = [once(answer, 'end'), once(answer.socket, 'close')]
    Promise.all(parts).then(() => {
      const problem = problemSchema.parse(JSON.parse(body))
      resolve({ status, headers: sentBack, problem })
    }, reject)
  })
  sent.end()
  return promise
}

const once = (from: NodeJS.EventEmitter, name: string) =>
  new Promise<void>((resolve) => from.once(name, () => resolve()))

/** Answers an upgrade with 101 and one message of at most 125 bytes, by hand: for the route of a test. */
export function greet(
  { socket }: { readonly socket: Duplex },
  key: string | undefined,
  message: string,
): void {
  const accept = createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64')
  const text = Buffer.from(message)
  const frame = Buffer.concat([Buffer.from([0x81, Math.min(125, text.length)]), text.subarray(0, 125)])
  socket.write(
    `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`,
  )
  socket.write(frame)
  socket.on('error', () => socket.destroy())
  socket.on('end', () => socket.end())
  socket.resume()
}
