import type { Duplex } from 'node:stream'
import type { WebSocket } from 'ws'
import type { Connection } from './delivery.ts'
import type { TransportName } from './report.ts'
import { textMessage } from './web-socket-frame.ts'

/** What a close frame has room for beside its code. */
const reasonBytesMax = 123

/** Pings and pongs of a client between two heartbeats; more is a flood. */
const controlFramesMax = 100

/** A WebSocket as a way to a reader. Messages are framed elsewhere and written whole to the socket below. */
export class SocketConnection implements Connection {
  readonly name: TransportName
  readonly #webSocket: WebSocket
  readonly #socket: Duplex
  #answered = true
  #controlFrames = 0

  constructor(name: TransportName, webSocket: WebSocket, socket: Duplex) {
    this.name = name
    this.#webSocket = webSocket
    this.#socket = socket
    const control = () => {
      this.#answered = true
      this.#controlFrames++
      if (this.#controlFrames > controlFramesMax) this.close(1008, 'too many pings')
    }
    webSocket.on('pong', control)
    webSocket.on('ping', control)
  }

  write(bytes: Buffer): boolean {
    if (this.#webSocket.readyState !== this.#webSocket.OPEN) return true
    return this.#socket.write(bytes)
  }

  /** Writes one frame beside the stream. */
  send(frame: object): void {
    this.write(textMessage([Buffer.from(JSON.stringify(frame))]))
  }

  onDrain(drained: () => void): void {
    this.#socket.on('drain', drained)
  }

  heartbeat(): void {
    if (!this.#answered) {
      this.#webSocket.terminate()
      return
    }
    this.#answered = false
    this.#controlFrames = 0
    if (this.#webSocket.readyState === this.#webSocket.OPEN) this.#webSocket.ping()
  }

  reconnect(afterMs: number): void {
    if (this.name === 'websocket') this.send({ type: 'reconnect', after_ms: afterMs, reason: 'draining' })
  }

  close(code: number, reason: string): void {
    // A code that only the other side may have sent cannot be sent back; then its close is answered already.
    if (this.#webSocket.readyState === this.#webSocket.OPEN) this.#webSocket.close(code, shortened(reason))
  }
}

/** As much of a text as a close frame takes; a character that would be cut in two is left out. */
function shortened(reason: string): string {
  const bytes = Buffer.from(reason)
  if (bytes.length <= reasonBytesMax) return reason
  let end = reasonBytesMax
  while (((bytes[end] as number) & 0xc0) === 0x80) end--
  return bytes.toString('utf8', 0, end)
}
