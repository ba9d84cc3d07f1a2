import { closeCodes, type StreamClose } from '@pulse/protocol/close-codes'
import type { Event } from '@pulse/protocol/event'
import type { CallsOptions } from './calls.ts'
import { type Clock, systemClock } from './clock.ts'
import type { ConnectionState } from './connection.ts'
import { errorOfEnd } from './end-error.ts'
import { EventStreamReader, type ServerMessage } from './event-stream-reader.ts'
import { watchPage } from './page.ts'
import { errorOfAnswer, PulseError } from './pulse-error.ts'
import type { Gap } from './stream-item.ts'

/** How a followed stream is connected, and why the last attempt failed. */
export interface FollowState extends ConnectionState {
  readonly error: PulseError | undefined
}

export interface FollowOptions {
  /** An expression; what it lets through comes. `everything` lets through all. */
  readonly filter: string
  /** The position to begin at; default: now. */
  readonly from?: string | undefined
  readonly onEvent: (event: Event, position: string) => void
  /** Events that will not come. */
  readonly onGap: (gap: Gap) => void
  /** Too slow for what matches: what was queued comes later, read from the log. */
  readonly onLagging?: (() => void) | undefined
  readonly onConnection?: ((state: FollowState) => void) | undefined
  /**
   * After a longer absence than this it goes on from now, and says so, rather than bring all that came meanwhile.
   * Default: Infinity, everything is brought.
   */
  readonly absenceMsMax?: number | undefined
  /** Called when an absence was too long, with when it began, in milliseconds since 1970. */
  readonly onSkipped?: ((sinceMs: number) => void) | undefined
  /** How long a hidden tab stays connected; default 60,000. */
  readonly hiddenMsMax?: number | undefined
}

/** A stream that is followed until it is closed, or cannot go on (`ended`, with its error). */
export interface Following {
  readonly connection: FollowState
  /** The last position that was told; undefined before the first. */
  readonly position: string | undefined
  /** Tries again at once where it waits. */
  retry(): void
  close(): void
}

export interface FollowNeeds {
  readonly clock: Clock
  readonly random: () => number
}

/** A live stream says something at least every 25 s; after this long it is dead, though nobody has told us. */
const silenceMsMax = 60_000
const waits = { msBase: 500, msMax: 15_000 } as const

/**
 * Follows a filter without a subscriber, over server-sent events. It goes on where it was after any loss of the
 * connection. Not an `EventSource`: that cannot send a key, and hides why a server refuses.
 */
export function follow(
  options: FollowOptions,
  server: Pick<CallsOptions, 'url' | 'credential' | 'fetch'>,
  needs: FollowNeeds = { clock: systemClock, random: Math.random },
): Following {
  return new OpenFollowing(options, server, needs)
}

class OpenFollowing implements Following {
  readonly #options: FollowOptions
  readonly #server: Pick<CallsOptions, 'url' | 'credential' | 'fetch'>
  readonly #needs: FollowNeeds
  readonly #holds = new Set<string>()
  readonly #unwatch: () => void
  #state: FollowState = {
    ...{ kind: 'connecting', failures: 0, holds: [], retryAtMs: undefined },
    error: undefined,
  }
  #position: string | undefined
  #heardMs: number
  #retryMs = 0
  #attempt: AbortController | undefined
  #cancel: (() => void) | undefined

  constructor(
    options: FollowOptions,
    server: Pick<CallsOptions, 'url' | 'credential' | 'fetch'>,
    needs: FollowNeeds,
  ) {
    this.#options = options
    this.#server = server
    this.#needs = needs
    this.#position = options.from
    this.#heardMs = needs.clock.now()
    const holds = {
      hold: (reason: string) => this.#hold(reason),
      release: (reason: string) => this.#release(reason),
    }
    this.#unwatch = watchPage(holds, needs.clock, options.hiddenMsMax ?? 60_000)
    if (this.#holds.size === 0) this.#connect()
  }

  get connection(): FollowState {
    return this.#state
  }

  get position(): string | undefined {
    return this.#position
  }

  retry(): void {
    if (this.#state.kind === 'waiting') this.#connect()
  }

  close(): void {
    this.#end(undefined)
  }

  #hold(reason: string): void {
    if (this.#state.kind === 'ended') return
    this.#holds.add(reason)
    this.#stop()
    this.#show({ kind: 'held', holds: [...this.#holds], retryAtMs: undefined })
  }

  #release(reason: string): void {
    if (!this.#holds.delete(reason) || this.#state.kind === 'ended') return
    if (this.#holds.size === 0) this.#connect()
    else this.#show({ holds: [...this.#holds] })
  }

  #end(error: PulseError | undefined): void {
    if (this.#state.kind === 'ended') return
    this.#stop()
    this.#unwatch()
    this.#show({ kind: 'ended', holds: [], retryAtMs: undefined, error })
  }

  #stop(): void {
    this.#cancel?.()
    this.#cancel = undefined
    this.#attempt?.abort()
    this.#attempt = undefined
  }

  #connect(): void {
    this.#stop()
    this.#show({ kind: 'connecting', holds: [], retryAtMs: undefined })
    this.#skip()
    const attempt = new AbortController()
    this.#attempt = attempt
    this.#read(attempt.signal).catch((error: unknown) => {
      if (this.#attempt === attempt) this.#failed(error)
    })
  }

  /** Lets go of a position that is too long ago to be caught up with. */
  #skip(): void {
    const { absenceMsMax = Number.POSITIVE_INFINITY, onSkipped } = this.#options
    if (this.#position === undefined || this.#needs.clock.now() - this.#heardMs <= absenceMsMax) return
    this.#position = undefined
    onSkipped?.(this.#heardMs)
  }

  async #read(signal: AbortSignal): Promise<void> {
    this.#watchSilence()
    const response = await this.#open(signal)
    const reader = new EventStreamReader()
    const decoder = new TextDecoder()
    const pieces = response.body?.getReader()
    for (;;) {
      const piece = await pieces?.read()
      if (signal.aborted) return
      if (!piece || piece.done) break
      this.#heardMs = this.#needs.clock.now()
      const messages = reader.read(decoder.decode(piece.value, { stream: true }))
      // First, because one of them may be the `close` that this wait was said in front of.
      this.#retryMs = reader.retryMs ?? this.#retryMs
      for (const message of messages) {
        this.#take(message)
        // Whoever was called may have closed it, or the server has.
        if (signal.aborted) return
      }
    }
    throw new PulseError({ code: 'network', detail: 'The server ended the stream.' })
  }

  async #open(signal: AbortSignal): Promise<Response> {
    const { url, credential, fetch = globalThis.fetch } = this.#server
    const secret = typeof credential === 'function' ? await credential() : credential
    const headers: Record<string, string> = { accept: 'text/event-stream' }
    if (secret !== undefined) headers.authorization = `Bearer ${secret}`
    if (this.#position !== undefined) headers['last-event-id'] = this.#position
    const query = new URLSearchParams({ filter: this.#options.filter })
    // A cached stream would be a stream of the past.
    const init = { headers, signal, cache: 'no-store', redirect: 'manual' } as const
    const response = await fetch(`${url.replace(/\/+$/, '')}/stream?${query}`, init)
    const type = response.headers.get('content-type') ?? ''
    if (!response.ok || !type.startsWith('text/event-stream'))
      throw errorOfAnswer(response, await response.text())
    return response
  }

  #take({ event, data, id }: ServerMessage): void {
    if (this.#state.kind !== 'live')
      this.#show({ kind: 'live', failures: 0, holds: [], retryAtMs: undefined, error: undefined })
    const read: unknown = JSON.parse(data)
    if (id !== '') this.#position = id
    try {
      if (event === 'message') this.#options.onEvent(read as Event, id)
      else if (event === 'gap') this.#options.onGap({ kind: 'gap', ...(read as Omit<Gap, 'kind'>) })
      else if (event === 'lagging') this.#options.onLagging?.()
      else if (event === 'close') this.#closed(read as StreamClose)
    } catch (cause) {
      // Not a fault of the connection: coming back would bring the next event to the same mistake.
      const why = cause instanceof Error ? cause.message : String(cause)
      this.#end(new PulseError({ code: 'closed', detail: `Who follows the stream failed: ${why}`, cause }))
    }
  }

  /** The server has ended the stream, and says whether to come back. */
  #closed({ code, reason, come_back, retry_after: retryAfter }: StreamClose): void {
    // Whoever can have another credential asks with that one; the answer to it says if it is no better.
    const isRenewed = code === closeCodes.unauthenticated && typeof this.#server.credential === 'function'
    if (come_back === 'never' && !isRenewed) {
      const error = errorOfEnd({ kind: 'closed', code, reason }, undefined)
      this.#end(error instanceof PulseError ? error : undefined)
      return
    }
    if (come_back === 'afresh') this.#position = undefined
    const isDraining = code === closeCodes.draining
    const error = { code: isDraining ? 'shutting_down' : 'unavailable', detail: reason, retryAfter } as const
    this.#failed(new PulseError(error))
  }

  #failed(thrown: unknown): void {
    const error = asPulseError(thrown, this.#server.url)
    if (!error.retryable && error.status !== undefined && error.status < 500) {
      this.#end(error)
      return
    }
    this.#stop()
    const failures = this.#state.kind === 'live' ? 1 : this.#state.failures + 1
    const least = Math.max(this.#retryMs, (error.retryAfter ?? 0) * 1_000)
    const spread = Math.min(waits.msMax, waits.msBase * 2 ** failures)
    const waitMs = least + this.#needs.random() * spread
    this.#cancel = this.#needs.clock.after(waitMs, () => this.#connect())
    this.#show({ kind: 'waiting', failures, retryAtMs: this.#needs.clock.now() + waitMs, error })
  }

  #watchSilence(): void {
    const began = this.#needs.clock.now()
    const look = (): void => {
      const silentMs = this.#needs.clock.now() - Math.max(this.#heardMs, began)
      if (silentMs < silenceMsMax) {
        this.#cancel = this.#needs.clock.after(silenceMsMax - silentMs, look)
        return
      }
      this.#failed(
        new PulseError({ code: 'timeout', detail: `Nothing was heard for ${silenceMsMax / 1_000} s.` }),
      )
    }
    look()
  }

  #show(change: Partial<FollowState>): void {
    this.#state = { ...this.#state, ...change }
    this.#options.onConnection?.(this.#state)
  }
}

function asPulseError(thrown: unknown, url: string): PulseError {
  if (thrown instanceof PulseError) return thrown
  if (thrown instanceof SyntaxError)
    return new PulseError({
      code: 'unexpected_answer',
      detail: 'The stream could not be read.',
      cause: thrown,
    })
  const detail = `No answer from ${url || 'the server'}.`
  return new PulseError({ code: 'network', detail, cause: thrown })
}
