import {
  type ClientRequest,
  Agent as HttpAgent,
  request as httpRequest,
  type IncomingMessage,
} from 'node:http'
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https'
import { isIP } from 'node:net'
import { signWebhook, webhookHeaders } from '@pulse/protocol/webhook-signature'
import {
  createPublicLookup,
  hostOf,
  isPublicAddress,
  RefusedAddressError,
  type Resolve,
} from './addresses.ts'
import { type Failure, type Outcome, retryAfterMsOf } from './attempts.ts'

export interface SenderNeeds {
  /** Sends to any address, not only to those of the public internet. */
  readonly allowPrivate: boolean
  /** From the first byte to the end of the answer. */
  readonly timeoutMs: number
  readonly version: string
  /** How names become addresses; default: the system's way. */
  readonly resolve?: Resolve
}

/** One request to a receiver. */
export interface WebhookRequest {
  readonly url: string
  readonly secret: string
  /** The same for every attempt, so that a receiver can tell a repeat. */
  readonly id: string
  readonly body: string
  /** Calls it off. */
  readonly signal?: AbortSignal | undefined
}

/** Sends signed requests. Redirects are not followed, because their target was checked by nobody. */
export interface Sender extends Disposable {
  /** Never rejects for what the receiver does. */
  send(request: WebhookRequest): Promise<Outcome>
}

/** Answers are read so far, to leave the connection usable; what they say is not looked at. */
const answerBytesMax = 65_536
const idleSocketsMax = 16

/** Makes a sender with connections of its own, which are kept open between requests. */
export function createSender(needs: SenderNeeds): Sender {
  const options = {
    keepAlive: true,
    maxFreeSockets: idleSocketsMax,
    ...(needs.allowPrivate
      ? needs.resolve && { lookup: needs.resolve as never }
      : { lookup: createPublicLookup(needs.resolve) }),
  }
  const agents = { http: new HttpAgent(options), https: new HttpsAgent(options) }
  return {
    send: async (request) => {
      const url = new URL(request.url)
      const host = hostOf(url)
      // Node asks no lookup about what is an address already.
      if (!needs.allowPrivate && isIP(host) && !isPublicAddress(host))
        return { kind: 'failed', failure: failureOf(new RefusedAddressError(host, host)) }
      const headers = await headersOf(request, needs.version)
      const once = () => exchange(url, { ...request, headers, agents, timeoutMs: needs.timeoutMs })
      const first = await once()
      // A connection that was kept had been closed by the other side meanwhile: nothing was sent, nobody has failed.
      return first === 'stale' ? settled(await once()) : first
    },
    [Symbol.dispose]: () => {
      agents.http.destroy()
      agents.https.destroy()
    },
  }
}

async function headersOf({ secret, id, body }: WebhookRequest, version: string) {
  const timestamp = String(Math.floor(Date.now() / 1_000))
  return {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(body),
    'user-agent': `Pulse-Webhooks/${version}`,
    [webhookHeaders.id]: id,
    [webhookHeaders.timestamp]: timestamp,
    [webhookHeaders.signature]: await signWebhook(secret, { id, timestamp, body }),
  }
}

interface Exchange extends WebhookRequest {
  readonly headers: Readonly<Record<string, string | number>>
  readonly agents: { readonly http: HttpAgent; readonly https: HttpsAgent }
  readonly timeoutMs: number
}

const settled = (outcome: Outcome | 'stale'): Outcome =>
  outcome === 'stale'
    ? {
        kind: 'failed',
        failure: { errorClass: 'ECONNRESET', message: 'the receiver closed the connection' },
      }
    : outcome

function exchange(url: URL, with_: Exchange): Promise<Outcome | 'stale'> {
  const { signal, timeoutMs } = with_
  return new Promise((resolve) => {
    const isSecure = url.protocol === 'https:'
    const options = { method: 'POST', headers: with_.headers }
    const request = isSecure
      ? httpsRequest(url, { ...options, agent: with_.agents.https })
      : httpRequest(url, { ...options, agent: with_.agents.http })
    const finish = (outcome: Outcome | 'stale') => {
      clearTimeout(timer)
      signal?.removeEventListener('abort', callOff)
      resolve(outcome)
    }
    const callOff = () => {
      finish({ kind: 'left' })
      request.destroy()
    }
    const timer = setTimeout(() => {
      const message = `no whole answer within ${timeoutMs / 1_000} s`
      finish({ kind: 'failed', failure: { errorClass: 'Timeout', message } })
      request.destroy()
    }, timeoutMs)
    signal?.addEventListener('abort', callOff)
    request.on('error', (error) => finish(outcomeOfError(request, error)))
    request.on('response', (response) => drain(response, finish))
    if (signal?.aborted) return callOff()
    request.end(with_.body)
  })
}

function outcomeOfError(request: ClientRequest, error: NodeJS.ErrnoException): Outcome | 'stale' {
  if (request.reusedSocket && error.code === 'ECONNRESET') return 'stale'
  return { kind: 'failed', failure: failureOf(error) }
}

/** Reads the answer to its end, which is what makes it one; a long one is cut: its status says all that is asked. */
function drain(response: IncomingMessage, finish: (outcome: Outcome) => void): void {
  const retryAfterMs = retryAfterMsOf(response.headers['retry-after'], Date.now())
  const outcome: Outcome = { kind: 'answered', status: response.statusCode ?? 0, retryAfterMs }
  let bytes = 0
  response.on('data', (chunk: Buffer) => {
    bytes += chunk.length
    if (bytes <= answerBytesMax) return
    finish(outcome)
    response.destroy()
  })
  response.on('end', () => finish(outcome))
  response.on('error', (error) => finish({ kind: 'failed', failure: failureOf(error) }))
}

function failureOf(error: NodeJS.ErrnoException): Failure {
  return { errorClass: error.code ?? error.name, message: error.message || String(error.code) }
}
