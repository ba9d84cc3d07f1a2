import { connect, type Socket } from 'node:net'
import type { Target } from './plan.ts'

/** An answer, as far as a bench looks at it. */
export interface Answer {
  /** HTTP status, or what went wrong instead. */
  readonly status: number | string
  /** The first bytes of the body; a batch's counts stand there. */
  readonly start: string
}

const headEnd = Buffer.from('\r\n\r\n')
const startBytesMax = 80
const nothing = Buffer.alloc(0)

/**
 * One keep-alive connection with one request on its way, over the bare socket: the generator runs on the cores of
 * the server that it measures, and `node:http` would cost more than the server does. It reads just what this server
 * says: a status line, a `content-length`, a body. What comes without having been asked for, such as the 408 of a connection
 * that was never used, is nobody's answer.
 */
export class Connection {
  readonly #headers: string
  readonly #port: number
  readonly #host: string
  #socket: Socket | undefined
  #received: Buffer = nothing
  #wanted = 0
  #pending: ((answer: Answer) => void) | undefined

  constructor(target: Target) {
    const url = new URL(target.url)
    this.#host = url.hostname
    this.#port = Number(url.port)
    const credential = target.key === '' ? '' : `authorization: Bearer ${target.key}\r\n`
    this.#headers = ` HTTP/1.1\r\nhost: ${url.host}\r\n${credential}`
  }

  /** Connects; rejects with the system's error. */
  async open(): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      const socket = connect({ host: this.#host, port: this.#port, noDelay: true })
      socket.once('connect', resolve)
      socket.once('error', reject)
      socket.on('data', (bytes) => this.#take(bytes))
      socket.on('error', (error: NodeJS.ErrnoException) => this.#lose(error.code ?? 'connection error'))
      socket.on('close', () => this.#lose('connection closed'))
      this.#socket = socket
    })
  }

  /** Hands events in, as ASCII text; `answered` is called once. */
  send(body: string, answered: (answer: Answer) => void): void {
    const type = 'content-type: application/json\r\n'
    this.#ask(`POST /events${this.#headers}${type}content-length: ${body.length}\r\n\r\n${body}`, answered)
  }

  /** Asks for a path; `answered` is called once. */
  get(path: string, answered: (answer: Answer) => void): void {
    this.#ask(`GET ${path}${this.#headers}\r\n`, answered)
  }

  #ask(request: string, answered: (answer: Answer) => void): void {
    this.#pending = answered
    if (this.#socket) this.#socket.write(request, 'latin1')
    else this.#reopen(request)
  }

  close(): void {
    this.#pending = undefined
    this.#socket?.destroy()
  }

  #reopen(request: string): void {
    const answered = this.#pending
    this.open().then(
      () => answered && this.#ask(request, answered),
      (error: NodeJS.ErrnoException) => this.#lose(error.code ?? 'not connected'),
    )
  }

  #take(bytes: Buffer): void {
    this.#received = this.#received.length === 0 ? bytes : Buffer.concat([this.#received, bytes])
    if (this.#wanted === 0) this.#wanted = sizeOf(this.#received)
    if (this.#wanted === 0 || this.#received.length < this.#wanted) return
    const answer = this.#received
    this.#received = nothing
    this.#wanted = 0
    const body = answer.indexOf(headEnd) + headEnd.length
    const status = Number(answer.toString('latin1', 9, 12))
    this.#settle({
      status,
      start: answer.toString('latin1', body, Math.min(answer.length, body + startBytesMax)),
    })
  }

  #lose(why: string): void {
    this.#socket?.destroy()
    this.#socket = undefined
    this.#received = nothing
    this.#wanted = 0
    this.#settle({ status: why, start: '' })
  }

  #settle(answer: Answer): void {
    const answered = this.#pending
    this.#pending = undefined
    answered?.(answer)
  }
}

/** Bytes of the whole answer; 0 while its head is not complete. */
function sizeOf(bytes: Buffer): number {
  const end = bytes.indexOf(headEnd)
  if (end < 0) return 0
  // With the break before the first header, so that every name has one before it.
  const length = /\r\ncontent-length: *(\d+)/i.exec(bytes.toString('latin1', 0, end))?.[1]
  if (length === undefined) throw new Error('the server answered without a content-length')
  return end + headEnd.length + Number(length)
}
