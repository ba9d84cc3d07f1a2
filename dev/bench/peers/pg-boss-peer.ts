import type { Peer } from './peer.ts'
import { openRemotePeer } from './remote-peer.ts'
import type { RowsDatabase } from './rows.ts'

const does =
  'send or insert with id = event_id over 10 connections; each call commits with a sync; two workers, woken by NOTIFY, fetch up to 100 jobs (again at once while fetches are full), a handler inserts their rows in one statement (one index), then the jobs are completed.'

/** Starts a producer and a worker on the peers' database. */
export function openPgBoss(rows: RowsDatabase): Promise<Peer> {
  const parts = { producer: 'pg-boss-producer', worker: 'pg-boss-worker' } as const
  return openRemotePeer({ name: 'pg-boss', does, parts, places: { redisUrl: '', database: rows.config } })
}
