import { connect } from 'node:net'
import { startChild, untilReady } from './child.ts'
import { freePort, removeFolder, temporaryFolder } from './places.ts'

/** A Redis server of our own, without any file of data: only what can be rebuilt lives there. */
export interface Redis extends AsyncDisposable {
  /** `redis://…` */
  readonly address: string
}

/** Starts `program` (redis-server) on a free loopback port, with its own temporary folder. */
export async function startRedis(program: string): Promise<Redis> {
  const folder = await temporaryFolder('redis')
  const port = await freePort()
  const args = ['--port', String(port), '--bind', '127.0.0.1', '--dir', folder]
  args.push('--save', '', '--appendonly', 'no', '--daemonize', 'no')
  const child = await startChild({ program, args })
  const dispose = async () => {
    await child.stop('SIGTERM', 5_000)
    await removeFolder(folder)
  }
  try {
    await untilReady(child, { what: 'Redis', withinMs: 10_000, ready: () => saysPong(port) })
  } catch (error) {
    await dispose()
    throw error
  }
  return { address: `redis://127.0.0.1:${port}`, [Symbol.asyncDispose]: dispose }
}

function saysPong(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ port, host: '127.0.0.1', timeout: 1_000 }, () => socket.write('PING\r\n'))
    const end = (answer: boolean) => {
      socket.destroy()
      resolve(answer)
    }
    socket.once('data', (data) => end(data.toString().startsWith('+PONG')))
    socket.once('error', () => end(false)).once('timeout', () => end(false))
  })
}
