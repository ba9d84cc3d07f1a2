import { once } from 'node:events'
import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { eventually } from '@pulse/dev/services/eventually'
import { verifyWebhook } from '@pulse/protocol/webhook-signature'

/** One request that came to a receiver. */
export interface ReceivedRequest {
  readonly id: string
  readonly headers: IncomingHttpHeaders
  readonly body: string
  readonly event: {
    readonly event_id: string
    readonly event_type: string
    readonly user_id: string
    readonly properties: Readonly<Record<string, unknown>>
    readonly position: string
  }
  readonly atMs: number
}

/** How a receiver answers; a promise keeps the sender waiting. */
export type Behaviour = (request: ReceivedRequest, response: ServerResponse) => void | Promise<void>

/** A receiver of webhooks: a real HTTP server that behaves as it is told. */
export interface WebhookReceiver extends AsyncDisposable {
  readonly url: string
  /** Every request, in the order in which they came. */
  readonly requests: readonly ReceivedRequest[]
  /** Most requests of one key that were open at a time. */
  readonly atOnceOfKey: () => number
  behave(behaviour: Behaviour): void
  /** Waits until so many requests have come. */
  count(requests: number, msMax?: number): Promise<void>
  /** Waits until so many different events have come. */
  events(count: number, msMax?: number): Promise<void>
}

const ok: Behaviour = (_request, response) => void response.end()

/** Answers with a status, and headers if given. */
export const answer =
  (status: number, headers: Record<string, string> = {}): Behaviour =>
  (_request, response) =>
    void response.writeHead(status, headers).end()

/** Takes so long for each answer. */
export const slow =
  (ms: number): Behaviour =>
  (_request, response) =>
    void setTimeout(() => response.end(), ms)

/** Opens a receiver on a free port of this machine. */
export async function openReceiver(behaviour: Behaviour = ok, port = 0): Promise<WebhookReceiver> {
  const requests: ReceivedRequest[] = []
  const open = new Map<string, number>()
  let behave = behaviour
  let most = 0
  const server = createServer((request, response) => {
    let body = ''
    request.setEncoding('utf8').on('data', (text: string) => {
      body += text
    })
    request.on('end', () => {
      const event = JSON.parse(body) as ReceivedRequest['event']
      const received = { id: String(request.headers['webhook-id']), headers: request.headers, body, event }
      const now = (open.get(event.user_id) ?? 0) + 1
      open.set(event.user_id, now)
      most = Math.max(most, now)
      response.on('close', () => open.set(event.user_id, (open.get(event.user_id) ?? 1) - 1))
      const one = { ...received, atMs: performance.now() }
      requests.push(one)
      void behave(one, response)
    })
  })
  server.listen(port, '127.0.0.1')
  await once(server, 'listening')
  const { port: bound } = server.address() as AddressInfo
  const different = () => new Set(requests.map(({ id }) => id)).size
  return {
    url: `http://127.0.0.1:${bound}/hook`,
    requests,
    atOnceOfKey: () => most,
    behave: (other) => {
      behave = other
    },
    count: async (count, msMax = 15_000) => {
      const look = async () => (requests.length >= count ? true : undefined)
      await eventually(`${count} requests (${requests.length} came)`, look, msMax)
    },
    events: async (count, msMax = 15_000) => {
      const look = async () => (different() >= count ? true : undefined)
      await eventually(`${count} different events`, look, msMax)
    },
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}

/** Whether a request is signed with this secret. */
export async function isSigned(secret: string, { headers, body }: ReceivedRequest): Promise<boolean> {
  return (await verifyWebhook(secret, { headers, body })) === 'good'
}

/**
 * Fails unless the first request for each event of a key came after the last one for the event before it. `numbers`: per
 * key what was sent, in order.
 */
export function orderFaults(requests: readonly ReceivedRequest[]): string[] {
  const faults: string[] = []
  const highest = new Map<string, number>()
  for (const { event } of requests) {
    const n = Number(event.properties.n)
    const seen = highest.get(event.user_id) ?? -1
    if (n > seen + 1) faults.push(`${event.user_id}: ${n} came when ${seen} was the last`)
    highest.set(event.user_id, Math.max(seen, n))
  }
  return faults
}
