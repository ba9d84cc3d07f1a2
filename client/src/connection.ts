import type { ClientFrame } from '@pulse/protocol/frames'
import type { Clock } from './clock.ts'
import {
  advance,
  type EndCause,
  firstLink,
  type Link,
  type LinkAction,
  type LinkEvent,
  type LinkRules,
  startingHold,
} from './link.ts'
import { type ErrorCode, PulseError } from './pulse-error.ts'
import { parseServerFrame, type ServerFrame } from './server-frame.ts'
import type { ClientSocket, OpenSocket, SocketAddress } from './socket.ts'
import type { Mismatch } from './told.ts'

/** How a subscription is connected. A new object whenever something has changed. */
export interface ConnectionState {
  /**
   * `live`: events flow. `connecting` and `waiting` (for the next attempt) pass by themselves; `held` lasts as long as
   * one of `holds`; `ended` is for good.
   */
  readonly kind: 'connecting' | 'live' | 'waiting' | 'held' | 'ended'
  /** Attempts in a row that did not last. */
  readonly failures: number
  /** Why it is held, for example `hidden`, `offline`, `full`. */
  readonly holds: readonly string[]
  /** When it tries again, in milliseconds since 1970; undefined unless `waiting`. */
  readonly retryAtMs: number | undefined
}

/** What happened to the stream without harm: nothing was lost by it. */
export type Notice =
  /** Something was missing between two frames; the stream goes on from before it. */
  | { readonly kind: 'mismatch'; readonly mismatch: Mismatch }
  /** A frame could not be read. */
  | { readonly kind: 'bad-frame'; readonly text: string }
  /** The server let go of what it had queued for us, and reads it again. */
  | { readonly kind: 'lagging'; readonly position: string }
  /** The server tells what went wrong. */
  | { readonly kind: 'error'; readonly code: string; readonly detail: string }
  /** There was no credential to be had; it is asked for again. */
  | { readonly kind: 'no-credential'; readonly error: unknown }
  /** The position could not be stored; it is tried again. */
  | { readonly kind: 'not-stored'; readonly error: unknown }

/** A socket's address, and the credential for its first frame if it cannot be sent before. */
export interface Access extends SocketAddress {
  readonly auth?: string | undefined
}

export interface ConnectionNeeds {
  readonly clock: Clock
  readonly random: () => number
  readonly rules: LinkRules
  readonly openSocket: OpenSocket
  readonly access: () => Promise<Access>
  /** Asks by an ordinary request why a socket was refused; undefined if that is not known or may pass. */
  readonly askWhy: () => Promise<PulseError | undefined>
  /** What to ask the server for after its hello. */
  readonly place: (hello: Hello) => ClientFrame
  /** Takes a frame of the stream; returns what is missing before it. */
  readonly take: (frame: StreamFrame, chars: number) => Mismatch | undefined
  readonly forget: () => void
  readonly notice: (notice: Notice) => void
  readonly changed: (state: ConnectionState) => void
  readonly finished: (cause: EndCause) => void
}

export type Hello = Extract<ServerFrame, { type: 'hello' }>
export type StreamFrame = Extract<ServerFrame, { type: 'deliveries' | 'gap' | 'checkpoint' | 'lagging' }>

/** The shell of a link: does with a socket and a timer what the table in `link.ts` decides. */
export class Connection {
  readonly #needs: ConnectionNeeds
  #link: Link = firstLink
  #state: ConnectionState = { kind: 'connecting', failures: 0, holds: [], retryAtMs: undefined }
  #socket: ClientSocket | undefined
  /** Counts attempts and questions: what comes of an older one comes too late. */
  #round = 0
  #auth: string | undefined
  #heardMs = 0
  #cancel: (() => void) | undefined
  #retryAtMs: number | undefined
  #hello: Hello | undefined
  #frame: { readonly frame: StreamFrame; readonly chars: number } | undefined
  readonly #events: LinkEvent[] = []
  #isBusy = false

  constructor(needs: ConnectionNeeds) {
    this.#needs = needs
  }

  get state(): ConnectionState {
    return this.#state
  }

  start(): void {
    this.release(startingHold)
  }

  hold(reason: string): void {
    this.#tell({ kind: 'hold', reason })
  }

  release(reason: string): void {
    this.#tell({ kind: 'release', reason })
  }

  end(cause: EndCause): void {
    this.#tell({ kind: 'end', cause })
  }

  /** Sends a frame if the stream flows, a filter also if it was asked for already; false if it was not sent. */
  send(frame: ClientFrame): boolean {
    const { kind } = this.#link
    const flows = kind === 'live' || kind === 'leaving' || (kind === 'placing' && frame.type === 'filter')
    if (flows) this.#write(frame)
    return flows
  }

  // An action may lead to the next event. It waits for the others, or a timer that it arms would be overwritten.
  #tell(event: LinkEvent): void {
    this.#events.push(event)
    if (this.#isBusy) return
    this.#isBusy = true
    try {
      for (let next = this.#events.shift(); next !== undefined; next = this.#events.shift()) this.#step(next)
    } finally {
      this.#isBusy = false
    }
  }

  #step(event: LinkEvent): void {
    const { clock, rules } = this.#needs
    const { link, actions } = advance(this.#link, event, {
      nowMs: clock.now(),
      heardMs: this.#heardMs,
      rules,
    })
    const hasMoved = link !== this.#link
    this.#link = link
    for (const action of actions) this.#do(action)
    // Most events are frames of a stream that flows on: nothing is to be seen of them.
    if (hasMoved) this.#show()
  }

  #do(action: LinkAction): void {
    switch (action.do) {
      case 'open':
        this.#open()
        break
      case 'greet':
        if (this.#auth !== undefined) this.#write({ type: 'auth', credential: this.#auth })
        break
      case 'place':
        if (this.#hello) this.#write(this.#needs.place(this.#hello))
        break
      case 'take':
        this.#take()
        break
      case 'ping':
        this.#write({ type: 'ping' })
        break
      case 'drop':
        this.#drop()
        break
      case 'ask':
        this.#ask()
        break
      case 'forget':
        this.#needs.forget()
        break
      case 'disarm':
        this.#disarm()
        break
      case 'arm':
        this.#arm(action.fromMs, action.toMs)
        break
      case 'finish':
        this.#needs.finished(action.cause)
    }
  }

  #open(): void {
    const round = ++this.#round
    const isOld = () => round !== this.#round
    const events = {
      opened: () => this.#tell({ kind: 'opened' }),
      message: (text: string) => this.#read(text),
      closed: (code: number, reason: string) => this.#tell({ kind: 'closed', code, reason }),
    }
    const opened = async () => {
      const { auth, ...address } = await this.#needs.access()
      if (isOld()) return
      this.#auth = auth
      this.#socket = this.#needs.openSocket(address, events)
    }
    opened().catch((error: unknown) => {
      if (isOld()) return
      this.#needs.notice({ kind: 'no-credential', error })
      const isFinal = error instanceof PulseError && !error.retryable
      this.#tell({ kind: 'unable', refusal: isFinal ? error : undefined })
    })
  }

  #ask(): void {
    const round = ++this.#round
    const answer = (refusal: PulseError | undefined) => {
      if (round === this.#round) this.#tell({ kind: 'answered', refusal })
    }
    this.#needs.askWhy().then(answer, () => answer(undefined))
  }

  #read(text: string): void {
    this.#heardMs = this.#needs.clock.now()
    const frame = parseServerFrame(text)
    if (frame === undefined) this.#needs.notice({ kind: 'bad-frame', text })
    if (frame?.type === 'error') this.#needs.notice({ kind: 'error', code: frame.code, detail: frame.detail })
    const event = this.#eventOf(frame, text.length)
    if (event) this.#tell(event)
  }

  /** What a frame means for the link; undefined: nothing. */
  #eventOf(frame: ServerFrame | undefined, chars: number): LinkEvent | undefined {
    switch (frame?.type) {
      case undefined:
        return { kind: 'faulty' }
      case 'hello':
        this.#hello = frame
        return { kind: 'greeted', heartbeatMs: frame.heartbeatMs }
      case 'gap':
      case 'checkpoint':
        this.#frame = { frame, chars }
        return { kind: 'positioned' }
      case 'deliveries':
      case 'lagging':
        this.#frame = { frame, chars }
        return { kind: 'delivered' }
      case 'reconnect':
        return { kind: 'moved', afterMs: frame.afterMs }
      case 'error': {
        // A newer server may know more codes than this client.
        const { code, detail } = frame
        return { kind: 'denied', error: new PulseError({ code: code as ErrorCode, detail }) }
      }
      case 'unknown':
        return undefined
    }
  }

  #take(): void {
    if (this.#frame === undefined) return
    const { frame, chars } = this.#frame
    this.#frame = undefined
    const mismatch = this.#needs.take(frame, chars)
    if (mismatch === undefined) return
    this.#needs.notice({ kind: 'mismatch', mismatch })
    this.#tell({ kind: 'faulty' })
  }

  #write(frame: ClientFrame): void {
    this.#socket?.send(JSON.stringify(frame))
  }

  #drop(): void {
    this.#round++
    this.#socket?.close()
    this.#socket = undefined
  }

  #disarm(): void {
    this.#cancel?.()
    this.#cancel = undefined
    this.#retryAtMs = undefined
  }

  #arm(fromMs: number, toMs: number): void {
    this.#disarm()
    const { clock, random } = this.#needs
    const ms = Math.round(fromMs + random() * (toMs - fromMs))
    this.#retryAtMs = clock.now() + ms
    this.#cancel = clock.after(ms, () => {
      this.#cancel = undefined
      this.#tell({ kind: 'elapsed' })
    })
  }

  #show(): void {
    const state = stateOf(this.#link, this.#retryAtMs)
    const shown = this.#state
    const isSame =
      state.kind === shown.kind &&
      state.failures === shown.failures &&
      state.retryAtMs === shown.retryAtMs &&
      state.holds.join('\n') === shown.holds.join('\n')
    if (isSame) return
    this.#state = state
    this.#needs.changed(state)
  }
}

const shownAs = {
  held: 'held',
  opening: 'connecting',
  greeting: 'connecting',
  placing: 'connecting',
  asking: 'connecting',
  live: 'live',
  leaving: 'live',
  waiting: 'waiting',
  ended: 'ended',
} as const satisfies Record<Link['kind'], ConnectionState['kind']>

function stateOf(link: Link, retryAtMs: number | undefined): ConnectionState {
  const isStarting = link.kind === 'held' && link.holds.has(startingHold)
  return {
    kind: isStarting ? 'connecting' : shownAs[link.kind],
    failures: link.kind === 'ended' ? 0 : link.tries.failures,
    holds: link.kind === 'held' && !isStarting ? [...link.holds] : [],
    retryAtMs: link.kind === 'waiting' ? retryAtMs : undefined,
  }
}
