import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { verifyWebhook, type WebhookVerdict } from '@pulse/client'
import { webhookHeaders } from '@pulse/protocol/webhook-signature'
import { exitCodes } from '../exit-code.ts'
import { CommandError } from '../failure.ts'

/** One request that came. `unchecked`: there was no secret to check with. */
export interface Received {
  readonly id: string
  readonly verdict: WebhookVerdict | 'unchecked'
  /** It came before: whoever acts on it again is wrong. */
  readonly isRepeat: boolean
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

export interface ReceiverNeeds {
  readonly port: number
  /** Undefined: nothing is checked. */
  readonly secret: string | undefined
  /** Deals with a request whose signature is good or unchecked; gives the status to answer with. */
  readonly take: (received: Received) => Promise<number>
  /** Told of the others, which are answered with 401. */
  readonly refused: (received: Received) => void
}

export interface Receiver extends AsyncDisposable {
  readonly url: string
}

const bodyBytesMax = 4 * 1_048_576
/** Ids that are remembered to tell repeats. */
const idsMax = 10_000
const forwarded = ['content-type', 'user-agent', ...Object.values(webhookHeaders)]

/** Listens on this machine only. Rejects with CommandError if the port is taken. */
export async function openReceiver(needs: ReceiverNeeds): Promise<Receiver> {
  const seen = new Set<string>()
  const server = createServer((request, response) => {
    serve(request, response, needs, seen).catch(() => void response.writeHead(500).end())
  })
  server.listen(needs.port, '127.0.0.1')
  await once(server, 'listening').catch((error: NodeJS.ErrnoException) => {
    throw new CommandError(
      exitCodes.unavailable,
      `cannot listen on port ${needs.port}: ${error.message}`,
      'pulse listen --port 0',
    )
  })
  const { port } = server.address() as AddressInfo
  return {
    url: `http://127.0.0.1:${port}`,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}

async function serve(
  request: IncomingMessage,
  response: ServerResponse,
  { secret, take, refused }: ReceiverNeeds,
  seen: Set<string>,
): Promise<void> {
  if (request.method !== 'POST') return void response.writeHead(405, { allow: 'POST' }).end()
  const body = await bodyOf(request)
  if (body === undefined) return void response.writeHead(413, { connection: 'close' }).end()
  const headers: Record<string, string> = {}
  for (const name of forwarded) {
    const value = request.headers[name]
    if (typeof value === 'string') headers[name] = value
  }
  const verdict = secret === undefined ? 'unchecked' : await verifyWebhook(secret, { headers, body })
  const id = headers[webhookHeaders.id] ?? ''
  const received: Received = { id, verdict, isRepeat: seen.has(id), headers, body }
  if (verdict !== 'good' && verdict !== 'unchecked') {
    refused(received)
    return void response.writeHead(401).end()
  }
  const status = await take(received)
  // Only one that was taken can be repeated: what failed has to come again.
  if (status < 300) remember(seen, id)
  response.writeHead(status).end()
}

function remember(seen: Set<string>, id: string): void {
  seen.delete(id)
  seen.add(id)
  const [oldest] = seen
  if (seen.size > idsMax && oldest !== undefined) seen.delete(oldest)
}

async function bodyOf(request: IncomingMessage): Promise<string | undefined> {
  const parts: Buffer[] = []
  let bytes = 0
  for await (const part of request as AsyncIterable<Buffer>) {
    bytes += part.length
    if (bytes > bodyBytesMax) return undefined
    parts.push(part)
  }
  return Buffer.concat(parts).toString('utf8')
}
