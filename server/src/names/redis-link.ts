import { setImmediate as nextTurn } from 'node:timers/promises'
import { createClient, ErrorReply } from 'redis'

/**
 * Why nothing can be said from the bitmap. `away`: no connection. `slow`: no answer in time. `refused`: Redis answered
 * with an error. `unverified`: it may have lost bits. `closed`: we have let go of it.
 */
export type UnavailableReason = 'away' | 'slow' | 'refused' | 'unverified' | 'closed'

/** The bitmap says nothing now. What was asked may be asked again; what was added may or may not be there. */
export class BitmapUnavailable extends Error {
  override name = 'BitmapUnavailable'
  readonly reason: UnavailableReason
  constructor(reason: UnavailableReason, message: string, options?: ErrorOptions) {
    super(message, options)
    this.reason = reason
  }
}

export type Command = readonly (string | Buffer)[]

/** One connection to Redis that comes back by itself. */
export interface RedisLink extends AsyncDisposable {
  /**
   * Sends the commands at once; Redis runs them in this order, with commands of others between them. Gives their
   * answers, or rejects with BitmapUnavailable: also if only one is an error, and at the latest after `msMax`.
   */
  run(commands: readonly Command[], msMax: number): Promise<unknown[]>
}

export interface LinkNeeds {
  /** `redis[s]://[[user][:password]@]host[:port][/database]` */
  readonly url: string
  /** It has a connection, for the first time or again. */
  readonly ready: () => void
  /** It has none; called for every attempt that fails. */
  readonly lost: (error: unknown) => void
}

const connectMsMax = 2_000
const reconnectMsMax = 2_000
// Nothing is sent while an answer is overdue, so a cut cable is silence, and this ends it.
const silenceMsMax = 5_000

/** Opens the link and waits for its first attempt, at most a second. Redis need not be there. */
export async function openRedisLink(needs: LinkNeeds): Promise<RedisLink> {
  const client = createClient({
    url: needs.url,
    name: 'pulse-names',
    disableClientInfo: true,
    maintNotifications: 'disabled',
    // A command that waited for a connection would be answered by a Redis that nobody has looked at.
    disableOfflineQueue: true,
    socket: {
      connectTimeout: connectMsMax,
      socketTimeout: silenceMsMax,
      reconnectStrategy: (attempts) =>
        Math.min(50 * 2 ** Math.min(attempts, 10), reconnectMsMax) * (0.75 + Math.random() / 2),
    },
  })
  let ended = false
  const end = () => {
    ended = true
    client.destroy()
  }
  // One that is being made while we close is not ours to end before it is there.
  client.on('connect', () => {
    if (ended) client.destroy()
  })
  const attempted = Promise.withResolvers<void>()
  client.on('ready', () => {
    needs.ready()
    attempted.resolve()
  })
  client.on('error', (error: unknown) => {
    needs.lost(error)
    attempted.resolve()
  })
  // It is rejected only when we close before the first connection; attempts that fail are `error` above.
  client.connect().catch(() => undefined)
  const giveUp = setTimeout(attempted.resolve, 1_000)
  await attempted.promise
  clearTimeout(giveUp)
  return new Link({ send: (command) => client.sendCommand([...command]), end })
}

class Link implements RedisLink {
  readonly #send: (command: Command) => Promise<unknown>
  readonly #end: () => void
  readonly #running = new Set<Promise<unknown>>()
  #overdue = 0
  #closed = false

  constructor({ send, end }: { send: (command: Command) => Promise<unknown>; end: () => void }) {
    this.#send = send
    this.#end = end
  }

  async run(commands: readonly Command[], msMax: number): Promise<unknown[]> {
    if (this.#closed) throw new BitmapUnavailable('closed', 'the connection to Redis is closed')
    // Whoever asks behind an answer that is overdue would only wait as long, and memory would grow.
    if (this.#overdue > 0) throw new BitmapUnavailable('slow', 'Redis owes an answer')
    const run = this.#inTime(Promise.allSettled(commands.map((command) => this.#send(command))), msMax)
    this.#running.add(run)
    try {
      return (await run).map(answerOf)
    } finally {
      this.#running.delete(run)
    }
  }

  async #inTime<Answers>(answers: Promise<Answers>, msMax: number): Promise<Answers> {
    const late = Promise.withResolvers<undefined>()
    // A turn later: if it was we who were slow, the answer already waits in the socket and is read in that turn.
    const timer = setTimeout(() => void nextTurn().then(() => late.resolve(undefined)), msMax)
    const first = await Promise.race([answers, late.promise])
    clearTimeout(timer)
    if (first !== undefined) return first
    this.#overdue++
    void answers.then(() => this.#overdue--)
    throw new BitmapUnavailable('slow', `Redis has not answered within ${msMax} ms`)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    await Promise.allSettled(this.#running)
    this.#end()
  }
}

function answerOf(result: PromiseSettledResult<unknown>): unknown {
  if (result.status === 'fulfilled') return result.value
  const cause: unknown = result.reason
  const said = cause instanceof Error ? cause.message : String(cause)
  if (!(cause instanceof ErrorReply)) throw new BitmapUnavailable('away', `Redis is away: ${said}`, { cause })
  // It reads its file and will answer soon; that is an outage, not a mistake of somebody.
  const reason = said.startsWith('LOADING') ? 'away' : 'refused'
  throw new BitmapUnavailable(reason, `Redis answered: ${said}`, { cause })
}
