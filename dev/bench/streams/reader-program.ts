import { randomBytes } from 'node:crypto'
import { connect, type Socket } from 'node:net'
import type { ReaderReport, ReaderTask } from './reader-plan.ts'
import { sharedNow } from './shared-clock.ts'

// The readers of the stream benches. They count rather than parse, because they share two cores with the server: an
// event is an `"event_id":` in the bytes, which cannot stand inside of a JSON string.

const eventMark = Buffer.from('"event_id":')
const sentMark = Buffer.from('"sent":')
const positionMark = Buffer.from('"position":"')

type OpenTask = Extract<ReaderTask, { kind: 'open' }>

interface Reader {
  readonly number: number
  readonly task: OpenTask
  socket: Socket
  hasBegun: boolean
  /** Last position that the server told. */
  position: string | undefined
  /** Bytes of a mark may be cut by the end of a chunk. */
  rest: Buffer
}

const readers: Reader[] = []
let counted = { events: 0, bytes: 0, latencies: [] as number[] }
let awaited: (() => void) | undefined

// A server ends sockets that answer none of its pings. Looking for pings in what is only counted would cost more than
// to say unasked that one is there, which the protocol allows; a few at a time, so that they hold up no event.
const pong = Buffer.from([0x8a, 0x80, 0, 0, 0, 0])
const pongTurns = 100
let pongTurn = 0
setInterval(() => {
  pongTurn = (pongTurn + 1) % pongTurns
  for (let n = pongTurn; n < readers.length; n += pongTurns)
    if (readers[n]?.hasBegun) readers[n]?.socket.write(pong)
}, 100).unref()

process.on('message', (task: ReaderTask) => {
  const from = performance.now()
  perform(task)
    .then(() => process.send?.({ report: reportOf(performance.now() - from) }))
    .catch((error: unknown) => process.send?.({ failed: String(error) }))
})
process.on('disconnect', () => process.exit(0))

const reportOf = (ms: number): ReaderReport => ({ ...counted, ms })

async function perform(task: ReaderTask): Promise<void> {
  switch (task.kind) {
    case 'open':
      return await openAll(task)
    case 'reset':
      counted = { events: 0, bytes: 0, latencies: [] }
      return
    case 'await':
      return await untilCounted(task.events, task.msMax)
    case 'report':
      return
    case 'cut-and-resume':
      return await cutAndResume()
    case 'close':
      for (const { socket } of readers.splice(0)) socket.destroy()
      return
  }
}

async function openAll(task: OpenTask): Promise<void> {
  const first = readers.length
  const all = Array.from({ length: task.count }, (_, n) => first + n)
  // Not all at once: a listener's queue is finite, and it is not what is measured.
  for (let at = 0; at < all.length; at += 200)
    await Promise.all(
      all.slice(at, at + 200).map((number) => open({ number, task, position: task.position })),
    )
}

async function cutAndResume(): Promise<void> {
  const before = readers.splice(0)
  for (const { socket } of before) socket.destroy()
  await Promise.all(before.map(({ number, task, position }) => open({ number, task, position })))
}

async function open(of: Pick<Reader, 'number' | 'task' | 'position'>): Promise<void> {
  const { number, task, position } = of
  const { hostname, port } = new URL(task.url)
  const socket = connect(Number(port), hostname)
  socket.setNoDelay(true)
  const reader: Reader = { number, task, socket, hasBegun: false, position, rest: Buffer.alloc(0) }
  readers.push(reader)
  await new Promise<void>((resolve, reject) => {
    socket.once('error', reject)
    socket.once('connect', () => socket.write(handshake(number, task)))
    socket.once('data', (bytes) => {
      if (!bytes.toString('latin1').startsWith('HTTP/1.1 101'))
        return reject(new Error(bytes.toString().slice(0, 300)))
      const filter = { expression: task.filter.replaceAll('{n}', String(number)) }
      const frame = position ? { type: 'resume', position, filter } : { type: 'subscribe', filter }
      socket.write(masked(JSON.stringify(frame)))
      socket.on('data', (more) => read(reader, more))
      // The first checkpoint or gap says that the stream has begun.
      const begun = (more: Buffer) => {
        if (!more.includes('"checkpoint"') && !more.includes('"gap"')) return
        socket.removeListener('data', begun)
        reader.hasBegun = true
        resolve()
      }
      socket.on('data', begun)
      const head = bytes.indexOf('\r\n\r\n') + 4
      if (head < bytes.length) socket.emit('data', bytes.subarray(head))
    })
  })
  socket.removeAllListeners('error')
  socket.on('error', () => {})
}

function handshake(number: number, { url, key }: OpenTask): string {
  return [
    `GET /ws/reader_${number} HTTP/1.1`,
    `Host: ${new URL(url).host}`,
    'Upgrade: websocket',
    'Connection: Upgrade',
    `Sec-WebSocket-Key: ${randomBytes(16).toString('base64')}`,
    'Sec-WebSocket-Version: 13',
    'Sec-WebSocket-Protocol: pulse.v1',
    `Authorization: Bearer ${key}`,
    '\r\n',
  ].join('\r\n')
}

/** One short text message of a client; the mask of zeros leaves the bytes as they are. */
function masked(text: string): Buffer {
  const payload = Buffer.from(text)
  const head = payload.length < 126 ? 2 : 4
  const frame = Buffer.alloc(head + 4 + payload.length)
  frame[0] = 0x81
  if (head === 2) frame[1] = 0x80 | payload.length
  else {
    frame[1] = 0x80 | 126
    frame.writeUInt16BE(payload.length, 2)
  }
  payload.copy(frame, head + 4)
  return frame
}

function read(reader: Reader, chunk: Buffer): void {
  const arrived = sharedNow()
  counted.bytes += chunk.length
  const bytes = reader.rest.length > 0 ? Buffer.concat([reader.rest, chunk]) : chunk
  // What was counted already is cut off: the rest is shorter than any mark's value.
  let from = 0
  for (let at = bytes.indexOf(eventMark); at >= 0; at = bytes.indexOf(eventMark, at + eventMark.length)) {
    counted.events++
    from = at + eventMark.length
  }
  const sent = numberAfter(bytes, sentMark)
  if (sent !== undefined && from > 0) counted.latencies.push(arrived - sent)
  reader.position = textAfter(bytes, positionMark) ?? reader.position
  const keep = Math.max(from, bytes.length - eventMark.length + 1)
  reader.rest = keep < bytes.length ? Buffer.from(bytes.subarray(keep)) : Buffer.alloc(0)
  awaited?.()
}

/** Of the first event of several: it is the one that has waited longest. */
function numberAfter(bytes: Buffer, mark: Buffer): number | undefined {
  const at = bytes.indexOf(mark)
  if (at < 0) return undefined
  // Whole only if what ends it is here too: the rest may come with the next chunk.
  const text = /^[\d.]+(?=[,}])/.exec(bytes.toString('latin1', at + mark.length, at + mark.length + 24))?.[0]
  return text === undefined ? undefined : Number(text)
}

function textAfter(bytes: Buffer, mark: Buffer): string | undefined {
  const at = bytes.lastIndexOf(mark)
  const end = at < 0 ? -1 : bytes.indexOf('"', at + mark.length)
  return end < 0 ? undefined : bytes.toString('latin1', at + mark.length, end)
}

function untilCounted(events: number, msMax: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const late = setTimeout(() => {
      awaited = undefined
      reject(new Error(`${counted.events} of ${events} events came within ${msMax} ms`))
    }, msMax)
    awaited = () => {
      if (counted.events < events) return
      clearTimeout(late)
      awaited = undefined
      resolve()
    }
    awaited()
  })
}
