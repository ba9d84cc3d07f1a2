import type pg from 'pg'
import { answered } from '../answered.ts'
import { OneAtATime } from '../one-at-a-time.ts'
import { drop } from './connection.ts'

const channel = 'pulse_log'
const coalesceMs = 5
const pollMs = 500
const answerMsMax = 10_000

/**
 * Tells waiting readers that a topic may have grown: at once within this process, by LISTEN from others, and by the
 * clock as the back-stop. NOTIFY never runs in an appending transaction (it takes a lock on the whole
 * server through the commit); it is sent afterwards from this connection, at most once per 5 ms. Its own is not listened
 * to: whoever waits here was woken already, and would only ask the database once more.
 */
export class Tail {
  readonly #connect: () => Promise<pg.Client>
  readonly #waiting = new Set<() => void>()
  readonly #grown = new Set<number>()
  readonly #turns = new OneAtATime()
  #client: pg.Client | undefined
  #listening: Promise<void> | undefined
  #notifying: NodeJS.Timeout | undefined
  #closed = false
  readonly #poll: NodeJS.Timeout

  constructor(connect: () => Promise<pg.Client>, everyMs = pollMs) {
    this.#connect = connect
    this.#poll = setInterval(() => this.#tick(), everyMs)
    this.#poll.unref()
  }

  /** Opens the listening connection; when it is lost, the next poll opens another one. */
  async listen(): Promise<void> {
    const client = await this.#connect()
    if (this.#closed) return drop(client)
    const own = await answered(startListening(client), answerMsMax).catch((error) => {
      drop(client)
      throw error
    })
    client.on('notification', ({ processId }) => {
      if (processId !== own) this.#wake()
    })
    client.on('end', () => {
      if (this.#client === client) this.#client = undefined
    })
    this.#client = client
  }

  /** A topic has grown by an append of this process. */
  grew(topic: number): void {
    this.#wake()
    this.#grown.add(topic)
    this.#notifying ??= setTimeout(() => this.#notify(), coalesceMs)
  }

  /** Resolves when some topic may have grown, or the signal aborts. */
  async wait(signal: AbortSignal): Promise<void> {
    if (signal.aborted || this.#closed) return
    await new Promise<void>((resolve) => {
      const done = () => {
        this.#waiting.delete(done)
        signal.removeEventListener('abort', done)
        resolve()
      }
      this.#waiting.add(done)
      signal.addEventListener('abort', done)
    })
  }

  async close(): Promise<void> {
    this.#closed = true
    clearInterval(this.#poll)
    clearTimeout(this.#notifying)
    this.#wake()
    await this.#listening
    await this.#client?.end().catch(() => {})
  }

  #wake(): void {
    for (const done of [...this.#waiting]) done()
  }

  #tick(): void {
    this.#wake()
    if (this.#client || this.#closed) return
    // A slow connection outlives several polls: each must not open one more.
    this.#listening ??= this.listen()
      .catch(() => {})
      .finally(() => {
        this.#listening = undefined
      })
  }

  #notify(): void {
    this.#notifying = undefined
    const payload = [...this.#grown].join(',')
    this.#grown.clear()
    // A hint that is lost costs its reader one poll; a connection that does not answer is given up.
    this.#turns
      .run(async () => {
        const client = this.#client
        if (!client) return
        await answered(client.query('select pg_notify($1, $2)', [channel, payload]), answerMsMax).catch(
          (error) => {
            drop(client)
            throw error
          },
        )
      })
      .catch(() => {})
  }
}

/** Resolves with the number of the connection's own process, by which its notifications are known. */
async function startListening(client: pg.Client): Promise<number> {
  const { rows } = await client.query<{ pid: number }>('select pg_backend_pid() as pid')
  // What is only a hint need not reach the disk.
  await client.query(`set synchronous_commit = off; listen ${channel}`)
  return rows[0]?.pid ?? 0
}
