import { LogError } from '@pulse/log'
import { type CloseName, closeCodes } from '@pulse/protocol/close-codes'
import type { Condition } from '@pulse/protocol/filter'
import { type ClientFrame, frameLimits } from '@pulse/protocol/frames'
import type { RawData, WebSocket } from 'ws'
import { type Caller, mayReadSubscriber } from '../http/access.ts'
import { ProblemError } from '../http/problem-error.ts'
import type { Tree } from '../subscriptions/tree.ts'
import { decide, type FrameAction, readFrame, type SocketState } from './client-frames.ts'
import { conflationKey } from './conflation.ts'
import type { Delivery } from './delivery.ts'
import type { Encoding } from './encoding.ts'
import type { SocketConnection } from './socket-connection.ts'
import type { Stream } from './stream.ts'

/** Frames that a client may send in a second, and that may wait for an answer. */
const framesPerSecondMax = 50
const framesWaitingMax = 20

export interface SocketSessionNeeds {
  readonly delivery: Delivery
  readonly subscriber: string
  readonly webSocket: WebSocket
  readonly connection: SocketConnection
  /** Shared by all sessions, so that what is equal is encoded once. */
  readonly encoding: Encoding
  /** Who asks; undefined: a frame will say. */
  readonly caller: Caller | undefined
  /** Where the client is. */
  readonly address: string
  readonly authenticate: (credential: string, address: string) => Promise<Caller | undefined>
  /** Throws ProblemError on a filter that cannot be taken. */
  readonly compile: (condition: Condition) => Tree
  readonly enforcedOf: (caller: Caller) => Tree | undefined
}

/** The server's side of one `pulse.v1` socket: takes frames one after another and begins, changes and ends its stream. */
export class SocketSession {
  readonly #needs: SocketSessionNeeds
  #state: SocketState = 'unknown'
  #caller: Caller | undefined
  #stream: Stream | undefined
  #turn: Promise<void> = Promise.resolve()
  #waiting = 0
  #second = { from: 0, frames: 0 }
  #ended = false

  constructor(needs: SocketSessionNeeds) {
    this.#needs = needs
    this.#caller = needs.caller
    const { webSocket } = needs
    webSocket.on('message', (data, isBinary) => this.#message(data, isBinary))
    webSocket.on('close', (code) => this.#closed(code))
    webSocket.on('error', () => {}) // the close that follows it tells
  }

  /** Greets, or waits for the credential. */
  start(): void {
    if (this.#caller) {
      this.#enqueue(() => this.#greet())
      return
    }
    const late = setTimeout(() => {
      if (this.#state === 'unknown') this.#end('unauthenticated', 'no credential came in time')
    }, frameLimits.authMsMax)
    this.#needs.webSocket.once('close', () => clearTimeout(late))
  }

  #message(data: RawData, isBinary: boolean): void {
    if (isBinary) this.#end('unsupported_data', 'frames are text')
    else if (!this.#admit()) this.#end('too_many', 'too many frames')
    else {
      const read = readFrame((data as Buffer).toString('utf8'))
      this.#enqueue(async () => {
        await this.#act('kind' in read ? read : decide(this.#state, read))
      })
    }
  }

  #admit(): boolean {
    const now = performance.now()
    if (now - this.#second.from > 1_000) this.#second = { from: now, frames: 0 }
    this.#second.frames++
    return this.#second.frames <= framesPerSecondMax && this.#waiting < framesWaitingMax
  }

  #enqueue(work: () => Promise<void>): void {
    this.#waiting++
    this.#turn = this.#turn.then(async () => {
      this.#waiting--
      if (this.#ended) return
      try {
        await work()
      } catch (error) {
        this.#fail(error)
      }
    })
  }

  async #act(action: FrameAction): Promise<void> {
    switch (action.kind) {
      case 'authenticate':
        this.#caller = await this.#needs.authenticate(action.credential, this.#needs.address)
        if (!this.#caller) return this.#end('unauthenticated', 'the credential is not valid')
        return await this.#greet()
      case 'begin':
        return await this.#begin(action.frame)
      case 'ack':
        return this.#stream?.ack(action.position)
      case 'filter':
        return this.#stream?.setOwn(this.#own(action.frame.filter))
      case 'pong':
        // A member that is undefined is not written.
        return this.#needs.connection.send({ type: 'pong', id: action.id })
      case 'checkpoint':
        return this.#stream?.pong(action.id)
      case 'refuse':
        return this.#end(action.why, action.detail)
    }
  }

  async #greet(): Promise<void> {
    const { delivery, subscriber, connection, encoding } = this.#needs
    const caller = this.#caller as Caller
    if (!caller.scopes.has('stream:read') || !mayReadSubscriber(caller, subscriber))
      return this.#end('forbidden', `the credential may not read the stream of ${subscriber}`)
    const enforced = this.#needs.enforcedOf(caller)
    const stream = await delivery.open({
      ...{ subscriber, caller, connection, encoding },
      ...(enforced && { enforced }),
    })
    if (!stream) return this.#end('too_many', 'too many streams')
    // The socket may have gone while the feed was opened.
    if (this.#ended) return stream.end(closeCodes.done, 'gone')
    this.#stream = stream
    this.#state = 'quiet'
    connection.send({
      type: 'hello',
      session: stream.session.needs.id,
      subscriber,
      filters: await stream.filterNames(),
      position: stream.now,
      dedupe: delivery.dedupe,
      heartbeat_ms: frameLimits.heartbeatMs,
    })
  }

  async #begin(frame: Extract<ClientFrame, { type: 'subscribe' | 'resume' }>): Promise<void> {
    const own = this.#own(frame.filter)
    const from = frame.type === 'resume' ? frame.position : undefined
    const begun = await this.#stream?.begin(from, {
      ...(own && { own }),
      ...(frame.slow && { slow: frame.slow }),
      ...(frame.conflate_by && { conflateBy: conflationKey(frame.conflate_by) }),
    })
    if (begun === 'begun') this.#state = 'streaming'
    else if (begun === 'invalid') this.#end('invalid_frame', 'that is no position of a stream')
    else if (begun === 'no_filter') this.#end('no_filter', 'the subscriber has no filter, and none was sent')
  }

  /** The tree of a filter of the connection's own: it may ask for events that no stored filter of the subscriber lets through. */
  #own(filter: Condition | null | undefined): Tree | undefined {
    if (!filter) return undefined
    if (!this.#caller || !mayReadSubscriber(this.#caller, undefined))
      throw new ProblemError('forbidden', 'The credential may only read what the stored filters let through.')
    return this.#needs.compile(filter)
  }

  #fail(error: unknown): void {
    // Before the greeting there is nothing that another frame could mend.
    if (this.#stream && error instanceof ProblemError && error.code !== 'unavailable') {
      this.#needs.connection.send({ type: 'error', code: error.code, detail: error.message })
      return
    }
    const { name, reason } = endingOf(error)
    this.#end(name, reason)
  }

  #end(name: CloseName, reason: string): void {
    this.#ended = true
    if (this.#stream) this.#stream.end(closeCodes[name], reason)
    else this.#needs.connection.close(closeCodes[name], reason)
  }

  #closed(code: number): void {
    this.#ended = true
    this.#stream?.end(code, '')
  }
}

/** How a socket ends on what was thrown. */
export function endingOf(error: unknown): { readonly name: CloseName; readonly reason: string } {
  if (error instanceof ProblemError && error.code === 'shutting_down')
    return { name: 'draining', reason: 'the server stops; come back' }
  const away = error instanceof LogError || error instanceof ProblemError
  return {
    name: 'internal',
    reason: away ? 'the database does not answer; come back' : 'a mistake of the server',
  }
}
