import { subprotocol } from './server-frame.ts'

/** What a socket tells. After `closed`, or after it was closed from here, it tells nothing more. */
export interface SocketEvents {
  opened(): void
  message(text: string): void
  closed(code: number, reason: string): void
}

/** An open socket, or one on its way. */
export interface ClientSocket {
  send(text: string): void
  close(): void
}

/** Where to connect, and as whom. */
export interface SocketAddress {
  readonly url: string
  /** Only where the constructor takes headers: see `takesHeaders`. */
  readonly headers?: Readonly<Record<string, string>> | undefined
}

export type OpenSocket = (address: SocketAddress, events: SocketEvents) => ClientSocket

/** The part of a browser's `WebSocket` that is used. */
export interface WebSocketLike {
  readonly protocol: string
  onopen: ((event: never) => void) | null
  onmessage: ((event: never) => void) | null
  onclose: ((event: never) => void) | null
  onerror: ((event: never) => void) | null
  send(text: string): void
  close(code?: number): void
}

/** Makes sockets as `globalThis.WebSocket` does. */
export type WebSocketConstructor = new (url: string, protocols: string | string[]) => WebSocketLike

const unclean = 1006

/**
 * True where `new WebSocket` takes headers besides the address: in Node, not in browsers, also not in a browser
 * window that has Node's modules.
 */
export function takesHeaders(): boolean {
  const { process, document } = globalThis as {
    process?: { readonly versions?: { readonly node?: string } }
    document?: unknown
  }
  return typeof process?.versions?.node === 'string' && document === undefined
}

/** Makes what opens sockets. Throws a TypeError where there is no `WebSocket` and none was given. */
export function socketOpener(given: WebSocketConstructor | undefined): OpenSocket {
  const Constructor = given ?? (globalThis as { WebSocket?: WebSocketConstructor }).WebSocket
  if (Constructor === undefined)
    throw new TypeError(
      'There is no WebSocket here: give createClient one as `webSocket`, or use Node 22 or later.',
    )
  return (address, events) => {
    const { headers } = address
    // Node's constructor takes an object in the place of the protocols.
    const protocols = (headers ? { protocols: [subprotocol], headers } : [subprotocol]) as string[]
    const socket = new Constructor(address.url, protocols)
    return listen(socket, events)
  }
}

function listen(socket: WebSocketLike, events: SocketEvents): ClientSocket {
  const forget = () => {
    socket.onopen = null
    socket.onmessage = null
    socket.onclose = null
  }
  const closed = (code: number, reason: string) => {
    forget()
    events.closed(code, reason)
  }
  socket.onopen = () => {
    if (socket.protocol === subprotocol) return events.opened()
    closed(unclean, `the server does not speak ${subprotocol}`)
    socket.close()
  }
  socket.onmessage = ({ data }: { readonly data: unknown }) =>
    // Pulse sends text only; what is none is passed on as a frame that cannot be read.
    events.message(typeof data === 'string' ? data : '')
  socket.onclose = ({ code, reason }: { readonly code: number; readonly reason: string }) =>
    closed(code, reason)
  // The close that follows it tells; and an error that nobody listens for would end a Node process.
  socket.onerror = () => {}
  return {
    send: (text) => socket.send(text),
    close: () => {
      forget()
      socket.close()
    },
  }
}
