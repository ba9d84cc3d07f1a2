// Sockets of the Socket.IO peer, in a process of their own. They speak as much of Engine.IO 4 as it takes to join and
// to answer pings, and count events without parsing them.

let events = 0
let awaited: { readonly events: number; readonly done: () => void } | undefined

type Task =
  | { readonly open: { readonly port: number; readonly count: number } }
  | { readonly awaitEvents: number }

process.on('message', (task: Task) => {
  const work = 'open' in task ? openAll(task.open.port, task.open.count) : untilCounted(task.awaitEvents)
  work
    .then(() => process.send?.({ events }))
    .catch((error: unknown) => process.send?.({ failed: String(error) }))
})
process.on('disconnect', () => process.exit(0))

async function openAll(port: number, count: number): Promise<void> {
  for (let at = 0; at < count; at += 100)
    await Promise.all(Array.from({ length: Math.min(100, count - at) }, () => open(port)))
}

function open(port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(`ws://127.0.0.1:${port}/socket.io/?EIO=4&transport=websocket`)
    socket.onerror = () => reject(new Error('a socket failed'))
    socket.onmessage = ({ data: received }: MessageEvent) => {
      const data = String(received)
      if (data.startsWith('42')) {
        events++
        if (awaited && events >= awaited.events) awaited.done()
      } else if (data.startsWith('40')) resolve()
      else if (data.startsWith('0')) socket.send('40')
      else if (data === '2') socket.send('3')
    }
  })
}

function untilCounted(wanted: number): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      events -= wanted
      awaited = undefined
      resolve()
    }
    if (events >= wanted) done()
    else awaited = { events: wanted, done }
  })
}
