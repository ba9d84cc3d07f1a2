import { randomBytes } from 'node:crypto'
import { connect, type Socket } from 'node:net'
import { eventually } from '@pulse/dev/services/eventually'

/** What a frame is made of; everything that is not said is as it should be. */
export interface FrameParts {
  readonly fin?: boolean
  /** The three reserved bits: 4, 2 and 1. */
  readonly reserved?: number
  readonly opcode?: number
  readonly masked?: boolean
  readonly payload?: Uint8Array | string
  /** The length that is claimed, and in how many bytes: 7 bits in the head itself, or 16 or 64 behind it. */
  readonly claimed?: { readonly length: bigint; readonly bits: 7 | 16 | 64 }
}

export const opcodes = { more: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 } as const

/** The bytes of one frame, right or wrong. */
export function frameBytes({
  fin = true,
  reserved = 0,
  opcode = opcodes.text,
  masked = true,
  payload = '',
  claimed,
}: FrameParts = {}): Buffer {
  const body = Buffer.from(payload)
  const length = claimed?.length ?? BigInt(body.length)
  const bits = claimed?.bits ?? (length < 126n ? 7 : length < 65_536n ? 16 : 64)
  const head = Buffer.alloc(bits === 7 ? 2 : bits === 16 ? 4 : 10)
  head[0] = (fin ? 0x80 : 0) | (reserved << 4) | opcode
  head[1] = (masked ? 0x80 : 0) | (bits === 7 ? Number(length) : bits === 16 ? 126 : 127)
  if (bits === 16) head.writeUInt16BE(Number(length), 2)
  if (bits === 64) head.writeBigUInt64BE(length, 2)
  if (!masked) return Buffer.concat([head, body])
  const mask = randomBytes(4)
  return Buffer.concat([head, mask, body.map((byte, n) => byte ^ (mask[n % 4] ?? 0))])
}

/** The bytes of a close frame. */
export function closeBytes(code: number, reason: string | Uint8Array = ''): Buffer {
  const payload = Buffer.concat([Buffer.alloc(2), Buffer.from(reason)])
  payload.writeUInt16BE(code)
  return frameBytes({ opcode: opcodes.close, payload })
}

/** What came back in the end: the status of an HTTP answer or the code of a close frame; neither if there was none. */
export interface Outcome {
  readonly status: number | undefined
  readonly code: number | undefined
  /** Milliseconds from the last write to the answer. */
  readonly ms: number
}

/** A connection that sends bytes as they are and reads what a server of WebSockets answers. It never closes by itself. */
export class RawSocket implements Disposable {
  readonly socket: Socket
  /** Text messages that came. */
  readonly texts: string[] = []
  status: number | undefined
  head = ''
  code: number | undefined
  reason: string | undefined
  ended = false
  #wroteMs = performance.now()
  #answeredMs = performance.now()
  #bytes = Buffer.alloc(0)

  private constructor(socket: Socket) {
    this.socket = socket
    socket.on('data', (bytes) => this.#take(bytes))
    socket.on('error', () => {})
    socket.on('close', () => {
      this.ended = true
    })
    socket.on('end', () => {
      this.ended = true
    })
  }

  static async connect(url: string): Promise<RawSocket> {
    const socket = connect({ host: '127.0.0.1', port: Number(new URL(url).port), allowHalfOpen: true })
    await new Promise((resolve, reject) => socket.once('connect', resolve).once('error', reject))
    return new RawSocket(socket)
  }

  write(bytes: Uint8Array | string): void {
    this.#wroteMs = performance.now()
    this.socket.write(bytes)
  }

  /** Resolves with what came once the server has ended the connection. */
  async outcome(msMax: number): Promise<Outcome> {
    const isOver = async () => (this.ended ? true : undefined)
    await eventually('the connection ends', isOver, msMax).catch((cause: unknown) => {
      throw new Error(`still open; status ${this.status}, code ${this.code}, ${this.texts.at(-1)}`, { cause })
    })
    return { status: this.status, code: this.code, ms: this.#answeredMs - this.#wroteMs }
  }

  #take(bytes: Buffer): void {
    this.#bytes = Buffer.concat([this.#bytes, bytes])
    if (this.status === undefined && !this.#takeHead()) return
    while (this.status === 101 && this.#takeFrame());
  }

  #takeHead(): boolean {
    const end = this.#bytes.indexOf('\r\n\r\n')
    if (end < 0) return false
    this.head = this.#bytes.toString('latin1', 0, end)
    this.#answeredMs = performance.now()
    this.status = Number(/^HTTP\/1\.1 (\d+)/.exec(this.head)?.[1])
    this.#bytes = this.#bytes.subarray(end + 4)
    return true
  }

  #takeFrame(): boolean {
    const [first = 0, short = 0] = this.#bytes
    const head = short < 126 ? 2 : short === 126 ? 4 : 10
    if (this.#bytes.length < head) return false
    const length =
      head === 2 ? short : head === 4 ? this.#bytes.readUInt16BE(2) : Number(this.#bytes.readBigUInt64BE(2))
    if (this.#bytes.length < head + length) return false
    const payload = this.#bytes.subarray(head, head + length)
    this.#bytes = this.#bytes.subarray(head + length)
    if ((first & 0x0f) === opcodes.text) this.texts.push(payload.toString())
    if ((first & 0x0f) === opcodes.close && this.code === undefined) {
      this.#answeredMs = performance.now()
      this.code = payload.length >= 2 ? payload.readUInt16BE(0) : 1005
      this.reason = payload.toString('utf8', 2)
    }
    return true
  }

  [Symbol.dispose](): void {
    this.socket.destroy()
  }
}
