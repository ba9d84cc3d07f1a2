import { setTimeout as delay } from 'node:timers/promises'
import { Client, type ClientBase, type ClientConfig } from 'pg'
import { reasonOf } from './database-error.ts'

export type DatabaseStatus =
  | { readonly kind: 'up'; readonly sinceMs: number }
  | { readonly kind: 'down'; readonly sinceMs: number; readonly reason: string }

/** One connection that is always there: it notices the database's end within moments, and brings it back. */
export interface Keeper extends AsyncDisposable {
  status(): DatabaseStatus
}

interface KeeperNeeds {
  client(): ClientConfig
  /** Makes a database of our own run again. */
  revive(): Promise<void>
  /** What has to be true of every connection before the database counts as there; throws if it is not. */
  accept(client: ClientBase): Promise<void>
  onStatus(status: DatabaseStatus): void
}

/** A database that hangs is as good as gone; 10 s is more than any pause of one that works. */
const keeperLimits = { pingMs: 2_000, answerMsMax: 10_000, retryMsMin: 20, retryMsMax: 250 } as const

/** Connects, or throws what is in the way. Later losses are repaired for as long as it is open. */
export async function openKeeper(needs: KeeperNeeds): Promise<Keeper> {
  const closing = new AbortController()
  let client = await connect(needs)
  let status: DatabaseStatus = { kind: 'up', sinceMs: Date.now() }
  const set = (next: DatabaseStatus) => {
    status = next
    needs.onStatus(next)
  }

  async function keep(): Promise<void> {
    while (!closing.signal.aborted) {
      const reason = await untilLost(client, closing.signal)
      await client.end().catch(() => {})
      if (closing.signal.aborted) return
      set({ kind: 'down', sinceMs: Date.now(), reason })
      for (
        let waitMs: number = keeperLimits.retryMsMin;
        !closing.signal.aborted;
        waitMs = Math.min(waitMs * 2, keeperLimits.retryMsMax)
      ) {
        try {
          client = await connect(needs)
          set({ kind: 'up', sinceMs: Date.now() })
          break
        } catch (error) {
          const reason = reasonOf(error)
          if (status.kind === 'down' && status.reason !== reason) set({ ...status, reason })
          await delay(waitMs, undefined, { signal: closing.signal }).catch(() => {})
        }
      }
    }
  }

  needs.onStatus(status)
  const kept = keep()
  return {
    status: () => status,
    async [Symbol.asyncDispose]() {
      closing.abort()
      await kept
    },
  }
}

async function connect(needs: KeeperNeeds): Promise<Client> {
  await needs.revive()
  const client = new Client({
    ...needs.client(),
    application_name: `pulse owner process ${process.pid}`,
    query_timeout: keeperLimits.answerMsMax,
  })
  // Without a listener, a lost connection would end the process.
  client.on('error', () => {})
  try {
    await client.connect()
    await needs.accept(client)
    return client
  } catch (error) {
    await client.end().catch(() => {})
    throw error
  }
}

/** Resolves with the reason when the connection is lost or does not answer any more, or when closing. */
async function untilLost(client: Client, closing: AbortSignal): Promise<string> {
  const ended = new AbortController()
  let reason = 'the connection was closed'
  client.on('error', (error) => {
    reason = reasonOf(error)
  })
  client.on('end', () => ended.abort())
  const either = AbortSignal.any([ended.signal, closing])
  while (!either.aborted) {
    try {
      await client.query('select 1')
      await delay(keeperLimits.pingMs, undefined, { signal: either })
    } catch (error) {
      if (either.aborted) break
      return reasonOf(error)
    }
  }
  return reason
}
