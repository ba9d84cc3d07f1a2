import type { ServerResponse } from 'node:http'
import { streamClose } from '@pulse/protocol/close-codes'

/** A browser whose connection breaks comes back after this long, unless the server says otherwise. */
const retryMs = 2_000

/** A response of server-sent events as a way to a reader. Its head is written with the first bytes. */
export class EventStreamConnection {
  readonly name = 'sse'
  readonly #response: ServerResponse
  readonly #headers: Readonly<Record<string, string | string[] | number | undefined>>
  #stuck = 0

  constructor(
    response: ServerResponse,
    headers: Readonly<Record<string, string | string[] | number | undefined>>,
  ) {
    this.#response = response
    this.#headers = headers
  }

  /** Writes the head, so that the client knows that it is connected although nothing has matched. */
  start(): void {
    if (this.#response.headersSent) return
    this.#response.writeHead(200, {
      ...this.#headers,
      'content-type': 'text/event-stream; charset=utf-8',
      'cache-control': 'no-store',
      // nginx buffers answers unless it is told not to.
      'x-accel-buffering': 'no',
    })
    this.#response.write(`retry: ${retryMs}\n\n`)
  }

  /** False if the other side has not taken what was written before: the next bytes wait for `onDrain`. */
  write(bytes: Buffer): boolean {
    if (this.#response.destroyed || this.#response.writableEnded) return true
    this.start()
    return this.#response.write(bytes)
  }

  /** Tells this each time that the other side takes bytes again. */
  onDrain(drained: () => void): void {
    this.#response.on('drain', drained)
  }

  /** Says that the stream lives. Nobody answers that: a side that is gone shows in bytes that do not leave for two heartbeats. */
  heartbeat(): void {
    // Not before it has begun: until then it may still be answered with a problem.
    if (!this.#response.headersSent) return
    if (this.#response.writableLength > 0) {
      this.#stuck++
      if (this.#stuck >= 2) this.#response.destroy()
      return
    }
    this.#stuck = 0
    this.write(Buffer.from(':\n\n'))
  }

  /** Asks a browser to come back after this time; the close follows. */
  reconnect(afterMs: number): void {
    this.write(Buffer.from(`retry: ${afterMs}\n\n`))
  }

  /** Ends the stream. There is no close code, so the last event says it, without an id: whoever comes back is where it was. */
  close(code: number, reason: string): void {
    if (!this.#response.headersSent) return
    this.write(Buffer.from(`event: close\ndata: ${JSON.stringify(streamClose(code, reason))}\n\n`))
    this.#response.end()
  }
}
