import { createServer } from 'node:http'
import { setTimeout as delay } from 'node:timers/promises'
import { Server } from 'socket.io'
import { anEvent } from './publisher.ts'

// The peer of `fanout`: a Socket.IO server whose sockets are all in one room. It makes its events itself, so it is
// spared what taking them in and keeping them costs Pulse.

interface Emission {
  readonly eventsPerSecond: number
  /** Events that are emitted one right after the other. */
  readonly batch: number
  readonly ms: number
  readonly padding: string
}

const http = createServer()
const io = new Server(http, { transports: ['websocket'], perMessageDeflate: false, serveClient: false })
io.on('connection', (socket) => {
  Promise.resolve(socket.join('all')).catch(() => {})
})
http.listen(0, '127.0.0.1', () => {
  process.send?.({ port: (http.address() as { port: number }).port })
})

process.on('message', (plan: Emission) => {
  emit(plan)
    .then((events) => process.send?.({ events }))
    .catch((error: unknown) => process.send?.({ failed: String(error) }))
})
process.on('disconnect', () => process.exit(0))

async function emit({ eventsPerSecond, batch, ms, padding }: Emission): Promise<number> {
  const everyMs = (batch / eventsPerSecond) * 1_000
  const from = performance.now()
  let sent = 0
  for (let round = 0; round * everyMs < ms; round++) {
    const wait = from + round * everyMs - performance.now()
    if (wait > 0) await delay(wait)
    for (let n = 0; n < batch; n++) {
      io.to('all').emit('event', {
        ...anEvent({ number: sent++, padding }),
        ...{ timestamp: new Date().toISOString(), source: null, schema_version: 1 },
      })
    }
    // Sockets are written at the end of a turn; without one nothing would leave.
    await delay(0)
  }
  return sent
}
