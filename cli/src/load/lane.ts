import { connect, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { type ParsedAnswer, parseAnswer } from './answer-parser.ts'

/** What became of a request: its status, or the code of what went wrong on the way. */
export type Outcome = number | string

/**
 * One keep-alive connection that carries one request at a time. Written over the bare socket because a load
 * generator shares the machine with what it measures: this costs a third of node:http for each request.
 */
export interface Lane {
  /** Opens the connection. Rejects with the system's error. */
  open(): Promise<void>
  /** Sends one request, on a new connection if the last one is gone, and tells once what became of it. */
  send(body: string, done: (outcome: Outcome) => void): void
  /** Gives the request under way up if it was sent before `sentBefore` (performance.now()). */
  expire(sentBefore: number): void
  close(): void
}

export interface LaneNeeds {
  readonly url: URL
  readonly headers: Readonly<Record<string, string>>
}

const nothing = Buffer.alloc(0)

/** Makes a lane to `url`; every request is a POST with the given headers. */
export function createLane({ url, headers }: LaneNeeds): Lane {
  const lines = Object.entries({ host: url.host, ...headers }).map(([name, value]) => `${name}: ${value}\r\n`)
  const head = `POST ${url.pathname}${url.search} HTTP/1.1\r\n${lines.join('')}content-length: `
  let socket: Socket | undefined
  let received: Buffer = nothing
  let pending: ((outcome: Outcome) => void) | undefined
  let sentAt = 0

  function settle(outcome: Outcome): void {
    const done = pending
    pending = undefined
    done?.(outcome)
  }

  function drop(from: Socket, outcome: Outcome): void {
    if (from !== socket) return
    socket = undefined
    received = nothing
    from.destroy()
    settle(outcome)
  }

  function onData(from: Socket, chunk: Buffer): void {
    if (from !== socket) return
    received = received.length === 0 ? chunk : Buffer.concat([received, chunk])
    const answer = finalAnswer()
    if (answer === undefined) return
    // What follows the answer belongs to no request of ours.
    received = nothing
    if (answer === 'not_http') drop(from, answer)
    else if (answer.keepAlive) settle(answer.status)
    else drop(from, answer.status)
  }

  /** The answer that is complete in what was received, past interim ones. */
  function finalAnswer(): ParsedAnswer | 'not_http' | undefined {
    try {
      let answer = parseAnswer(received)
      while (answer !== undefined && answer.status < 200) {
        received = received.subarray(answer.length)
        answer = parseAnswer(received)
      }
      return answer
    } catch {
      return 'not_http'
    }
  }

  function openSocket(): Socket {
    const port = Number(url.port || (url.protocol === 'https:' ? 443 : 80))
    const host = url.hostname.replace(/^\[|\]$/g, '')
    const opened =
      url.protocol === 'https:' ? connectTls({ host, port, servername: host }) : connect({ host, port })
    opened.setNoDelay(true)
    opened.on('data', (chunk) => onData(opened, chunk))
    opened.on('error', (error: NodeJS.ErrnoException) => drop(opened, error.code ?? 'connection_error'))
    opened.on('close', () => drop(opened, 'connection_closed'))
    socket = opened
    return opened
  }

  return {
    open: () =>
      new Promise((resolve, reject) => {
        const opened = openSocket()
        opened.once(url.protocol === 'https:' ? 'secureConnect' : 'connect', () => resolve())
        opened.once('error', reject)
      }),
    send(body, done) {
      pending = done
      sentAt = performance.now()
      const to = socket ?? openSocket()
      to.write(`${head}${Buffer.byteLength(body)}\r\n\r\n${body}`)
    },
    expire(sentBefore) {
      if (pending && sentAt < sentBefore && socket) drop(socket, 'timeout')
    },
    close() {
      const last = socket
      socket = undefined
      last?.destroy()
    },
  }
}
