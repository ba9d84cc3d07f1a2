import { connect, createServer, type Socket } from 'node:net'

/** A TCP proxy before PostgreSQL that can lose what the server answers, as a cut cable would. */
export interface CutProxy extends AsyncDisposable {
  readonly port: number
  /** From now on nothing that the server says reaches the clients; what they say still arrives. */
  swallowAnswers(): void
  /** Ends every connection on the clients' side at once; the server notices only when it next writes. */
  cut(): void
  /** From now on new connections are taken but reach nobody, until `release`. */
  hold(): void
  release(): void
  /** New connections reach another server from now on, as behind the address of a service with a failover. */
  lead(target: { host: string; port: number }): void
}

/** Starts a proxy on a free port. `untilCut` connections that are cut keep their server side open. */
export async function startCutProxy(first: { host: string; port: number }): Promise<CutProxy> {
  const pairs = new Set<{ client: Socket; server: Socket }>()
  let target = first
  let swallowing = false
  let held: Socket[] | undefined
  const join = (client: Socket) => {
    const server = connect(target.port, target.host)
    const pair = { client, server }
    pairs.add(pair)
    client.on('error', () => {})
    server.on('error', () => {})
    client.on('data', (bytes) => server.write(bytes))
    server.on('data', (bytes) => {
      if (!swallowing && !client.destroyed) client.write(bytes)
    })
    server.on('close', () => {
      pairs.delete(pair)
      client.destroy()
    })
    // A client that leaves by itself takes the server side with it; one that was cut does not.
    client.on('end', () => server.end())
  }
  const listener = createServer((client) => {
    client.on('error', () => {})
    if (held) held.push(client)
    else join(client)
  })
  await new Promise<void>((resolve) => listener.listen(0, '127.0.0.1', resolve))
  return {
    port: (listener.address() as { port: number }).port,
    swallowAnswers: () => {
      swallowing = true
    },
    cut: () => {
      swallowing = false
      for (const { client } of pairs) client.destroy()
    },
    hold: () => {
      held = []
    },
    release: () => {
      for (const client of held ?? []) if (!client.destroyed) join(client)
      held = undefined
    },
    lead: (to) => {
      target = to
    },
    [Symbol.asyncDispose]: async () => {
      for (const client of held ?? []) client.destroy()
      for (const { client, server } of pairs) {
        client.destroy()
        server.destroy()
      }
      await new Promise((resolve) => listener.close(resolve))
    },
  }
}
