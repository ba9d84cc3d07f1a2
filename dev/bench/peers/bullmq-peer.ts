import { connect } from 'node:net'
import { startChild, untilReady } from '@pulse/dev/services/child'
import { findProgram, freePort, removeFolder, temporaryFolder } from '@pulse/dev/services/places'
import { createClient } from 'redis'
import type { Peer } from './peer.ts'
import { openRemotePeer } from './remote-peer.ts'
import type { RowsDatabase } from './rows.ts'

const does =
  'queue.add or addBulk with jobId = event_id; Redis appends to its file and syncs before it answers (appendonly yes, appendfsync always); a worker with concurrency 100 runs a handler that inserts one row (10 connections, one index), then the job is removed. Redis is reached by node-redis, the client that is installed here.'

/** Starts a Redis that syncs every write, a producer and a worker. Throws if there is no redis-server. */
export async function openBullmq(rows: RowsDatabase): Promise<Peer> {
  await using opened = new AsyncDisposableStack()
  const redisUrl = await startSyncedRedis(opened)
  const parts = { producer: 'bullmq-producer', worker: 'bullmq-worker' } as const
  const places = { redisUrl, database: rows.config }
  const peer = opened.use(await openRemotePeer({ name: 'BullMQ', does, parts, places }))
  const kept = opened.move()
  return { ...peer, [Symbol.asyncDispose]: () => kept.disposeAsync() }
}

async function startSyncedRedis(opened: AsyncDisposableStack): Promise<string> {
  const program = await findProgram('redis-server')
  if (program === undefined)
    throw new Error('there is no redis-server on PATH: install it to compare with BullMQ')
  const folder = await temporaryFolder('bench-redis')
  opened.defer(() => removeFolder(folder))
  const port = await freePort()
  const args = ['--port', String(port), '--bind', '127.0.0.1', '--dir', folder, '--daemonize', 'no']
  args.push(
    '--save',
    '',
    '--appendonly',
    'yes',
    '--appendfsync',
    'always',
    '--maxmemory-policy',
    'noeviction',
  )
  const child = await startChild({ program, args })
  opened.defer(() => child.stop('SIGTERM', 10_000))
  await untilReady(child, { what: 'Redis', withinMs: 10_000, ready: () => listens(port) })
  const url = `redis://127.0.0.1:${port}`
  await checkSync(url)
  return url
}

/** Asked of the server itself: without it the comparison would not be one. */
async function checkSync(url: string): Promise<void> {
  const client = createClient({ url })
  await client.connect()
  try {
    const answer = await client.configGet(['appendfsync', 'appendonly'])
    if (answer.appendfsync !== 'always' || answer.appendonly !== 'yes')
      throw new Error(`Redis does not sync: ${JSON.stringify(answer)}`)
  } finally {
    client.destroy()
  }
}

function listens(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ port, host: '127.0.0.1' })
    const end = (answer: boolean) => {
      socket.destroy()
      resolve(answer)
    }
    socket.once('connect', () => end(true)).once('error', () => end(false))
  })
}
