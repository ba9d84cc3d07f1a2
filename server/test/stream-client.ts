import assert from 'node:assert/strict'
import { request as plainRequest } from 'node:http'
import { request as secureRequest } from 'node:https'
import { eventually } from '@pulse/dev/services/eventually'
import type { Delivery, ServerFrame } from '@pulse/protocol/frames'
import { serverFrameSchema, subprotocol } from '@pulse/protocol/frames'
import { formatStreamPosition, parseStreamPosition } from '@pulse/protocol/stream-position'
import { WebSocket } from 'ws'

/** A server, or a proxy in front of one. */
export interface Target {
  readonly url: string
  readonly key: string
  /** Certificate to be trusted, where the address is https. */
  readonly ca?: string
}

/** How a socket ended. */
export interface Closed {
  readonly code: number
  readonly reason: string
}

export interface SocketOptions {
  /** Null: none; absent: the key of the target. */
  readonly credential?: string | null
  readonly protocol?: string
  readonly headers?: Readonly<Record<string, string>>
  /** What stands behind the question mark. */
  readonly query?: Readonly<Record<string, string>>
}

const waitMsMax = 20_000

/** A WebSocket client that remembers everything it was sent. */
export class TestSocket implements AsyncDisposable {
  readonly webSocket: WebSocket
  /** Messages as JSON, and when each came (`performance.now()`). */
  readonly messages: Record<string, unknown>[] = []
  readonly times: number[] = []
  closedWith: Closed | undefined
  readonly #closed: Promise<void>

  private constructor(webSocket: WebSocket) {
    this.webSocket = webSocket
    webSocket.on('message', (data) => {
      this.times.push(performance.now())
      this.messages.push(JSON.parse(String(data)))
    })
    this.#closed = new Promise((resolve) => {
      webSocket.on('close', (code, reason) => {
        this.closedWith = { code, reason: String(reason) }
        resolve()
      })
    })
  }

  /** Opens `/ws/subscriber`. Rejects if the server refuses the handshake. */
  static async open(target: Target, subscriber: string, options: SocketOptions = {}): Promise<TestSocket> {
    const { credential = target.key, protocol, headers = {}, query = {} } = options
    const url = new URL(`${target.url.replace(/^http/, 'ws')}/ws/${encodeURIComponent(subscriber)}`)
    for (const [name, value] of Object.entries(query)) url.searchParams.set(name, value)
    const webSocket = new WebSocket(url, protocol === undefined ? [] : [protocol], {
      headers: { ...headers, ...(credential !== null && { authorization: `Bearer ${credential}` }) },
      ...(target.ca === undefined ? {} : { ca: target.ca }),
    })
    const socket = new TestSocket(webSocket)
    await new Promise<void>((resolve, reject) => {
      webSocket.once('open', resolve)
      webSocket.on('error', reject)
    })
    return socket
  }

  send(frame: object): void {
    this.webSocket.send(JSON.stringify(frame))
  }

  /** How it ended, as soon as it has. */
  async ended(): Promise<Closed> {
    return await eventually('the end of the socket', async () => this.closedWith, waitMsMax)
  }

  /** Waits until so many messages have come. */
  async count(count: number): Promise<void> {
    await eventually(
      `${count} messages`,
      async () => (this.messages.length >= count ? true : undefined),
      waitMsMax,
    ).catch((cause: unknown) => {
      const { closedWith, messages } = this
      throw new Error(`${messages.length} of ${count} messages came; ${JSON.stringify(closedWith)}`, {
        cause,
      })
    })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.webSocket.terminate()
    await this.#closed
  }
}

/** The status that a handshake at this address is answered with; a socket that opens is cut again. */
export async function handshakeStatus(
  url: string,
  headers: Readonly<Record<string, string>> = {},
): Promise<number> {
  const webSocket = new WebSocket(url.replace(/^http/, 'ws'), { headers })
  return await new Promise((resolve, reject) => {
    webSocket.on('error', reject)
    webSocket.on('unexpected-response', (_request, answer) => {
      answer.resume()
      resolve(answer.statusCode ?? 0)
    })
    webSocket.on('open', () => {
      webSocket.terminate()
      resolve(101)
    })
  })
}

/** Ids of events, in their order. */
export const idsOf = (events: readonly Record<string, unknown>[]): string[] =>
  events.map(({ event_id }) => String(event_id))

export interface FrameOptions {
  readonly credential?: string | null
  /** Where to go on; absent: from now. */
  readonly position?: string | undefined
  /** More members of the first frame. */
  readonly first?: Readonly<Record<string, unknown>>
}

/**
 * A `pulse.v1` subscriber that checks what the protocol promises: each event's `previous` is the highest offset of its
 * partition that was told before. What breaks that stands in `broken`.
 */
export class FrameReader implements AsyncDisposable {
  readonly socket: TestSocket
  readonly deliveries: Delivery[] = []
  /** When each delivery came (`performance.now()`). */
  readonly times: number[] = []
  /** All frames that carry no event. */
  readonly frames: ServerFrame[] = []
  readonly broken: string[] = []
  readonly #next = new Map<string, Map<number, number>>()
  readonly #epochs = new Map<string, number>()

  private constructor(socket: TestSocket) {
    this.socket = socket
    // The greeting may have come in one packet with the answer to the handshake.
    for (const message of socket.messages) this.#take(serverFrameSchema.parse(message))
    socket.webSocket.on('message', (data) => this.#take(serverFrameSchema.parse(JSON.parse(String(data)))))
  }

  /** Opens, waits for the greeting and begins. Resolves once the stream has said where it begins. */
  static async open(target: Target, subscriber: string, options: FrameOptions = {}): Promise<FrameReader> {
    const { credential, position, first = {} } = options
    const socket = await TestSocket.open(target, subscriber, {
      protocol: subprotocol,
      ...(credential === undefined ? {} : { credential }),
    })
    const reader = new FrameReader(socket)
    await reader.frame('hello')
    socket.send({
      type: position === undefined ? 'subscribe' : 'resume',
      ...(position && { position }),
      ...first,
    })
    await eventually(
      'the stream begins',
      async () =>
        reader.frames.some(({ type }) => type === 'checkpoint' || type === 'gap') ? true : undefined,
      waitMsMax,
    )
    return reader
  }

  /** Position from which the stream would go on after everything that came. */
  get position(): string {
    return formatStreamPosition(
      [...this.#next].map(([topic, offsets]) => ({ topic, offsets, epoch: this.#epochs.get(topic) ?? 0 })),
    )
  }

  get ids(): string[] {
    return idsOf(this.deliveries.map(({ event }) => event))
  }

  /** The first frame of a type, as soon as there is one. */
  async frame<Type extends ServerFrame['type']>(type: Type): Promise<Extract<ServerFrame, { type: Type }>> {
    const is = (frame: ServerFrame): frame is Extract<ServerFrame, { type: Type }> => frame.type === type
    return await eventually(type, async () => this.frames.find(is), waitMsMax)
  }

  /** Waits until so many events have come. */
  async count(count: number, msMax = waitMsMax): Promise<void> {
    const came = async () => (this.deliveries.length >= count ? true : undefined)
    await eventually(`${count} events`, came, msMax).catch((cause: unknown) => {
      const how = JSON.stringify(this.socket.closedWith ?? this.frames.slice(-3))
      throw new Error(`${this.deliveries.length} of ${count} events came; ${how}`, { cause })
    })
  }

  /** Waits until the stream has come as far as another position says, so that nothing more can come below it. */
  async reaches(position: string): Promise<void> {
    const wanted = parseStreamPosition(position)
    assert.ok(wanted, position)
    const isThere = () =>
      wanted.every(({ topic, offsets }) =>
        [...offsets].every(([partition, offset]) => (this.#next.get(topic)?.get(partition) ?? 0) >= offset),
      )
    const look = async () => {
      if (isThere()) return true
      this.socket.send({ type: 'ping' })
      return undefined
    }
    await eventually('the stream has come that far', look, waitMsMax)
  }

  #take(frame: ServerFrame): void {
    if (frame.type === 'event') this.#event(frame)
    else if (frame.type === 'batch') for (const event of frame.events) this.#event(event)
    else {
      this.frames.push(frame)
      if (frame.type === 'checkpoint') this.#tell(frame.position)
      if (frame.type === 'gap') this.#tell(frame.to)
    }
  }

  #tell(position: string): void {
    for (const { topic, epoch, offsets } of parseStreamPosition(position) ?? []) {
      this.#epochs.set(topic, epoch)
      const next = this.#next.get(topic) ?? new Map<number, number>()
      this.#next.set(topic, next)
      for (const [partition, offset] of offsets)
        next.set(partition, Math.max(next.get(partition) ?? 0, offset))
    }
  }

  #event(delivery: Delivery): void {
    const { topic, partition, offset, previous } = delivery
    const next = this.#next.get(topic)?.get(partition) ?? 0
    if (previous !== next - 1)
      this.broken.push(`${topic}/${partition}: ${offset} follows ${previous}, ${next - 1} was told`)
    this.#next.get(topic)?.set(partition, offset + 1)
    this.times.push(performance.now())
    this.deliveries.push(delivery)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.socket[Symbol.asyncDispose]()
  }
}

/** One block of an event stream. */
export interface Block {
  readonly event: string
  readonly id: string | undefined
  readonly data: Record<string, unknown>
  readonly atMs: number
}

/** A reader of server-sent events as the HTML standard reads them. */
export class EventStreamReader implements Disposable {
  readonly blocks: Block[] = []
  readonly headers: Readonly<Record<string, unknown>>
  comments = 0
  retryMs: number | undefined
  lastEventId = ''
  ended = false
  readonly #stop: () => void
  #text = ''

  private constructor(answer: NodeJS.ReadableStream & { headers: object }, stop: () => void) {
    this.headers = { ...answer.headers }
    this.#stop = stop
    answer.setEncoding('utf8')
    answer.on('data', (part: string) => this.#take(part))
    answer.on('error', () => {})
    answer.on('close', () => {
      this.ended = true
    })
  }

  /** Opens `/stream?query`. Rejects with the status if the server does not answer 200. */
  static async open(
    target: Target,
    query: Readonly<Record<string, string>>,
    headers: Readonly<Record<string, string>> = {},
  ): Promise<EventStreamReader> {
    const url = new URL(`${target.url}/stream`)
    for (const [name, value] of Object.entries(query)) url.searchParams.set(name, value)
    const request = (url.protocol === 'https:' ? secureRequest : plainRequest)(url, {
      headers: { accept: 'text/event-stream', authorization: `Bearer ${target.key}`, ...headers },
      agent: false,
      ...(target.ca === undefined ? {} : { ca: target.ca }),
    })
    return await new Promise((resolve, reject) => {
      // A proxy that holds the answer back holds its head back too.
      const late = setTimeout(() => request.destroy(new Error('no answer came')), waitMsMax)
      request.on('error', reject)
      request.on('close', () => clearTimeout(late))
      request.on('response', (answer) => {
        clearTimeout(late)
        if (answer.statusCode !== 200) {
          answer.resume()
          reject(new Error(`status ${answer.statusCode}`))
          return
        }
        resolve(new EventStreamReader(answer, () => request.destroy()))
      })
      request.end()
    })
  }

  /** The events of the log that came: blocks that have no name. */
  get events(): Record<string, unknown>[] {
    return this.blocks.filter(({ event }) => event === 'message').map(({ data }) => data)
  }

  async count(count: number, msMax = waitMsMax): Promise<void> {
    const came = async () => (this.events.length >= count ? true : undefined)
    await eventually(`${count} events`, came, msMax)
  }

  /** The first block with this name. */
  async named(name: string, msMax = waitMsMax): Promise<Block> {
    return await eventually(name, async () => this.blocks.find(({ event }) => event === name), msMax)
  }

  #take(part: string): void {
    this.#text += part
    for (let end = this.#text.indexOf('\n\n'); end >= 0; end = this.#text.indexOf('\n\n')) {
      this.#block(this.#text.slice(0, end).split('\n'))
      this.#text = this.#text.slice(end + 2)
    }
  }

  #block(lines: readonly string[]): void {
    const fields = new Map<string, string>()
    for (const line of lines) {
      const [, name = '', value = ''] = /^([^:]*):? ?(.*)$/s.exec(line) ?? []
      if (name === '') this.comments++
      else fields.set(name, fields.has(name) ? `${fields.get(name)}\n${value}` : value)
    }
    const id = fields.get('id')
    if (id !== undefined) this.lastEventId = id
    if (fields.has('retry')) this.retryMs = Number(fields.get('retry'))
    const data = fields.get('data')
    if (data === undefined) return
    const event = fields.get('event') ?? 'message'
    this.blocks.push({ event, id, data: JSON.parse(data), atMs: performance.now() })
  }

  [Symbol.dispose](): void {
    this.#stop()
  }
}
