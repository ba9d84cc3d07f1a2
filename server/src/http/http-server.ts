import { readFileSync, unwatchFile, watchFile } from 'node:fs'
import {
  createServer as createPlainServer,
  type IncomingMessage,
  type Server,
  type ServerOptions,
} from 'node:http'
import { createServer as createTlsServer, type Server as TlsServer } from 'node:https'
import type { Socket } from 'node:net'
import { type ProblemCode, problems } from '@pulse/protocol/problem'
import { problemBody } from './problem-answer.ts'
import type { HttpReport } from './report.ts'

/** Limits of one listening server. What a stranger can hold open or make large has one. */
export const httpLimits = {
  headersMsMax: 10_000,
  requestMsMax: 30_000,
  // Node looks for slow requests only this often; its default of 30 s would stretch both limits above.
  slowRequestCheckMs: 1_000,
  // Longer than the 60 s that proxies keep idle upstream connections: the side that sends must be the one that closes.
  keepAliveMs: 72_000,
  headerBytesMax: 16 * 1024,
  headersMax: 200,
  urlBytesMax: 8 * 1024,
  paramCharsMax: 512,
  connectionsMax: 10_000,
  // Polling, because certificates usually arrive by a rename or a changed link, which file events miss.
  certificatePollMs: 5_000,
} as const

export type HttpLimits = { readonly [Name in keyof typeof httpLimits]: number }

export interface TlsFiles {
  readonly certFile: string
  readonly keyFile: string
}

interface ServerNeeds {
  readonly handler: (...arguments_: never[]) => void
  /** Whether a request that asks to become another protocol may; any other is an ordinary request. */
  readonly mayUpgrade: (raw: IncomingMessage) => boolean
  readonly tls: TlsFiles | undefined
  readonly limits: HttpLimits
  readonly report: HttpReport
}

/** Makes the server that listens: plain, or TLS 1.2 and newer with a certificate that is read again when its file changes. */
export function createHttpServer({ handler, mayUpgrade, tls, limits, report }: ServerNeeds): Server {
  const options: ServerOptions = {
    headersTimeout: limits.headersMsMax,
    requestTimeout: limits.requestMsMax,
    connectionsCheckingInterval: limits.slowRequestCheckMs,
    keepAliveTimeout: limits.keepAliveMs,
    maxHeaderSize: limits.headerBytesMax,
    shouldUpgradeCallback: mayUpgrade,
    noDelay: true,
  }
  const listener = handler as unknown as Parameters<typeof createPlainServer>[1]
  const server = tls
    ? secureServer({ options, listener, tls, report, pollMs: limits.certificatePollMs })
    : createPlainServer(options, listener)
  server.maxHeadersCount = limits.headersMax
  server.maxConnections = limits.connectionsMax
  server.on('drop', () => report.connectionDropped())
  return server
}

interface SecureNeeds {
  readonly options: ServerOptions
  readonly listener: Parameters<typeof createPlainServer>[1]
  readonly tls: TlsFiles
  readonly report: HttpReport
  readonly pollMs: number
}

function secureServer({ options, listener, tls, report, pollMs }: SecureNeeds): Server {
  const read = () => ({ cert: readFileSync(tls.certFile), key: readFileSync(tls.keyFile) })
  const server: TlsServer = createTlsServer({ ...options, ...read(), minVersion: 'TLSv1.2' }, listener)
  const reload = (): void => {
    try {
      server.setSecureContext({ ...read(), minVersion: 'TLSv1.2' })
      report.certificateReloaded()
    } catch (error) {
      // A certificate and key that do not fit yet: the second file is still on its way, and its change comes here again.
      report.certificateNotReloaded(error)
    }
  }
  for (const file of [tls.certFile, tls.keyFile]) {
    watchFile(file, { interval: pollMs, persistent: false }, reload)
  }
  server.on('close', () => {
    for (const file of [tls.certFile, tls.keyFile]) unwatchFile(file, reload)
  })
  // An https.Server is an http.Server in everything that is used here; the types only differ in their base class.
  return server as unknown as Server
}

type ClientError = Error & { readonly code?: string | undefined; readonly rawPacket?: unknown }

/** What a request that the parser gave up on is answered with. */
function codeOfClientError(error: ClientError): ProblemCode {
  switch (error.code) {
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return 'request_timeout'
    case 'HPE_HEADER_OVERFLOW':
      return isFirstLineLong(error.rawPacket) ? 'uri_too_long' : 'too_many_headers'
    case 'HPE_CHUNK_EXTENSIONS_OVERFLOW':
      return 'payload_too_large'
    default:
      return 'invalid_request'
  }
}

function isFirstLineLong(packet: unknown): boolean {
  if (!Buffer.isBuffer(packet) || !/^[A-Z]{3,10} \//.test(packet.subarray(0, 12).toString('latin1')))
    return false
  const end = packet.indexOf('\r\n')
  return end === -1 || end > httpLimits.urlBytesMax
}

/** Answers what never became a request: a malformed, oversized or slow one. The connection closes, as its state is unknown. */
export function answerClientError(
  error: ClientError,
  socket: Socket,
  { requestId, report }: { requestId: string; report: HttpReport },
): void {
  report.clientError(error.code ?? 'unknown')
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy()
    return
  }
  const code = codeOfClientError(error)
  const body = problemBody({ code, detail: problems[code].help, requestId })
  const { status } = problems[code]
  const head = [
    `HTTP/1.1 ${status} ${code === 'request_timeout' ? 'Request Timeout' : 'Refused'}`,
    'Content-Type: application/problem+json',
    `Content-Length: ${Buffer.byteLength(body)}`,
    'X-Content-Type-Options: nosniff',
    `X-Request-Id: ${requestId}`,
    'Connection: close',
  ]
  socket.end(`${head.join('\r\n')}\r\n\r\n${body}`, () => {
    // Half open is closed too: what else this peer sends belongs to no request.
    socket.destroySoon()
  })
}
