import { connect, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { type ParsedAnswer, parseAnswer } from './answer-parser.ts'

/** What became of a request: its status, or the code of what went wrong on the way. */
export type Outcome = number | string

export interface LaneNeeds {
  readonly url: URL
  readonly headers: Readonly<Record<string, string>>
}

const nothing = Buffer.alloc(0)

/**
 * One keep-alive connection that carries one request at a time. Written over the bare socket because a load
 * generator shares the machine with what it measures: this costs a third of node:http for each request.
 */
export class Lane {
  #url: URL
  #head: string
  #socket: Socket | undefined
  #received: Buffer = nothing
  #pending: ((outcome: Outcome) => void) | undefined
  #sentAt = 0

  /** Every request is a POST to `url` with the given headers. */
  constructor({ url, headers }: LaneNeeds) {
    const lines = Object.entries({ host: url.host, ...headers }).map(
      ([name, value]) => `${name}: ${value}\r\n`,
    )
    this.#url = url
    this.#head = `POST ${url.pathname}${url.search} HTTP/1.1\r\n${lines.join('')}content-length: `
  }

  /** Opens the connection. Rejects with the system's error. */
  open(): Promise<void> {
    return new Promise((resolve, reject) => {
      const opened = this.#openSocket()
      opened.once(this.#url.protocol === 'https:' ? 'secureConnect' : 'connect', () => resolve())
      opened.once('error', reject)
    })
  }

  /** Sends one request, on a new connection if the last one is gone, and tells once what became of it. */
  send(body: string, done: (outcome: Outcome) => void): void {
    this.#pending = done
    this.#sentAt = performance.now()
    const socket = this.#socket ?? this.#openSocket()
    socket.write(`${this.#head}${Buffer.byteLength(body)}\r\n\r\n${body}`)
  }

  /** Gives the request under way up if it was sent before `sentBefore` (performance.now()). */
  expire(sentBefore: number): void {
    if (this.#pending && this.#sentAt < sentBefore && this.#socket) this.#drop(this.#socket, 'timeout')
  }

  /** Lets the connection go. */
  close(): void {
    const socket = this.#socket
    this.#socket = undefined
    socket?.destroy()
  }

  #openSocket(): Socket {
    const { protocol, hostname, port: written } = this.#url
    const port = Number(written || (protocol === 'https:' ? 443 : 80))
    const host = hostname.replace(/^\[|\]$/g, '')
    const opened =
      protocol === 'https:' ? connectTls({ host, port, servername: host }) : connect({ host, port })
    opened.setNoDelay(true)
    opened.on('data', (chunk) => this.#onData(opened, chunk))
    opened.on('error', (error: NodeJS.ErrnoException) => this.#drop(opened, error.code ?? 'connection_error'))
    opened.on('close', () => this.#drop(opened, 'connection_closed'))
    this.#socket = opened
    this.#received = nothing
    return opened
  }

  #onData(from: Socket, chunk: Buffer): void {
    if (from !== this.#socket) return
    this.#received = this.#received.length === 0 ? chunk : Buffer.concat([this.#received, chunk])
    const answer = this.#finalAnswer()
    if (answer === undefined) return
    // What follows the answer belongs to no request of ours.
    this.#received = nothing
    if (answer === 'not_http') this.#drop(from, answer)
    else if (answer.keepAlive) this.#settle(answer.status)
    else this.#drop(from, answer.status)
  }

  /** The answer that is complete in what was received, past interim ones. */
  #finalAnswer(): ParsedAnswer | 'not_http' | undefined {
    try {
      let answer = parseAnswer(this.#received)
      while (answer !== undefined && answer.status < 200) {
        this.#received = this.#received.subarray(answer.length)
        answer = parseAnswer(this.#received)
      }
      return answer
    } catch {
      return 'not_http'
    }
  }

  #drop(from: Socket, outcome: Outcome): void {
    if (from !== this.#socket) return
    this.#socket = undefined
    from.destroy()
    this.#settle(outcome)
  }

  #settle(outcome: Outcome): void {
    const done = this.#pending
    this.#pending = undefined
    done?.(outcome)
  }
}
