import assert from 'node:assert/strict'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { type Child, startChild, untilReady } from '@pulse/dev/services/child'
import { findProgram, freePort, removeFolder, temporaryFolder } from '@pulse/dev/services/places'
import { missingBecause, openServices } from '@pulse/dev/services/services'
import { pino } from 'pino'
import { Registry } from 'prom-client'
import { createClient } from 'redis'
import { type BitmapState, openRedisBitmap, type RedisBitmapNeeds } from './redis-bitmap.ts'

/** Those of the original. */
export const bitmapDefaults = { key: 'username_bloom_filter', bits: 10_000_000, hashes: 7 } as const

/** A Redis server that a test may kill, freeze and start again; it keeps its port and its folder. */
export interface OwnRedis extends AsyncDisposable {
  readonly port: number
  readonly url: string
  start(): Promise<void>
  kill(): Promise<void>
  freeze(): void
  thaw(): void
  /** What redis-cli would answer. */
  ask(...command: readonly string[]): Promise<unknown>
}

/** Why tests that need a Redis of their own are skipped, or false. */
export async function skipWithoutRedis(): Promise<string | false> {
  const found = async () => (await findProgram('redis-server')) !== undefined
  if (await found()) return false
  // It installs the program where it can, unless an address was given, which is no server that a test may kill.
  await using services = await openServices(['redis'])
  if (await found()) return false
  const reason = new Error('these tests kill theirs, and there is no redis-server on PATH')
  return services.skip('redis') || missingBecause('redis', reason)
}

/** Makes a Redis that saves only when told to, and starts it unless `started` is false. */
export async function openOwnRedis({ started = true }: { started?: boolean } = {}): Promise<OwnRedis> {
  const program = (await findProgram('redis-server')) ?? 'redis-server'
  const folder = await temporaryFolder('names-redis')
  const port = await freePort()
  const url = `redis://127.0.0.1:${port}`
  const ask = (...command: readonly string[]) => askOnce(url, command)
  let child: Child | undefined
  const stop = async () => {
    await child?.stop('SIGKILL', 5_000)
    child = undefined
  }
  const start = async () => {
    const args = ['--port', String(port), '--bind', '127.0.0.1', '--dir', folder]
    // Replicas copy by socket at once, so that a test of a failover need not wait for company.
    args.push('--save', '', '--appendonly', 'no', '--repl-diskless-sync-delay', '0')
    child = await startChild({ program, args })
    const ready = () =>
      ask('PING').then(
        (answer) => answer === 'PONG',
        () => false,
      )
    await untilReady(child, { what: 'Redis', withinMs: 10_000, ready })
  }
  const signal = (name: NodeJS.Signals) => void (child && process.kill(child.pid, name))
  if (started) await start()
  return {
    ...{ port, url, start, kill: stop, ask },
    freeze: () => signal('SIGSTOP'),
    thaw: () => signal('SIGCONT'),
    [Symbol.asyncDispose]: async () => {
      await stop()
      await removeFolder(folder)
    },
  }
}

/** Runs one command on a connection of its own. */
export async function askOnce(url: string, command: readonly string[]): Promise<unknown> {
  const client = createClient({ url, socket: { reconnectStrategy: false } })
  client.on('error', () => undefined)
  await client.connect()
  try {
    return await client.sendCommand([...command])
  } finally {
    client.destroy()
  }
}

/** A bitmap, what it said about itself, and its metrics. */
export async function openWorld(needs: Partial<RedisBitmapNeeds> & { url: string }) {
  const states: BitmapState[] = []
  const lines: { level: number; msg: string }[] = []
  const metrics = new Registry()
  const log = pino({ level: 'info' }, { write: (line: string) => void lines.push(JSON.parse(line)) })
  const changed = (state: BitmapState) => void states.push(state)
  // Patient, because a test's machine may be busy; the tests of slowness say so.
  const patience = { askMsMax: 20_000, writeMsMax: 20_000 }
  const bitmap = await openRedisBitmap({ ...bitmapDefaults, ...patience, log, metrics, changed, ...needs })
  return { bitmap, states, lines, metrics, [Symbol.asyncDispose]: () => bitmap[Symbol.asyncDispose]() }
}

/** An address that first leads to one Redis and then to another, as that of a service with a failover does. */
export async function openMovingAddress(port: number) {
  let target = port
  let connections = 0
  const sockets = new Set<Socket>()
  const server: Server = createServer((client) => {
    connections++
    const upstream = connect(target, '127.0.0.1')
    for (const [from, to] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      sockets.add(from)
      from.on('error', () => undefined)
      from.on('data', (bytes) => to.write(bytes))
      from.on('close', () => {
        sockets.delete(from)
        to.destroy()
      })
    }
  })
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening))
  const address = server.address()
  assert.ok(address !== null && typeof address === 'object')
  const cut = () => {
    for (const socket of sockets) socket.destroy()
  }
  return {
    url: `redis://127.0.0.1:${address.port}`,
    /** Connections that were ever made to it. */
    connections: () => connections,
    /** Later connections lead there; those that are open end. */
    moveTo: (next: number) => {
      target = next
      cut()
    },
    [Symbol.asyncDispose]: async () => {
      cut()
      await new Promise((closed) => server.close(closed))
    },
  }
}
