import pg from 'pg'
import { type Peer, startPeerProcess } from './peer.ts'
import type { Order, Places } from './program.ts'

type Part = Extract<Order, { kind: 'open' }>['part']

/** A peer with a producer's and a worker's process, whose handler writes into `bench_rows`. */
export async function openRemotePeer(of: {
  name: Peer['name']
  does: string
  parts: { readonly producer: Part; readonly worker: Part }
  places: Places
}): Promise<Peer> {
  const { name, does, parts, places } = of
  await using opened = new AsyncDisposableStack()
  const client = new pg.Client(places.database)
  await client.connect()
  opened.defer(() => client.end())
  const worker = opened.use(await startPeerProcess())
  await worker.ask({ kind: 'open', part: parts.worker, places })
  const producer = opened.use(await startPeerProcess())
  await producer.ask({ kind: 'open', part: parts.producer, places })
  const kept = opened.move()
  return {
    name,
    does,
    async reset() {
      await client.query('truncate bench_rows')
    },
    async submit(submission) {
      const reply = await producer.ask({ kind: 'submit', submission })
      if (reply.kind !== 'submitted') throw new Error(`${name} answered ${reply.kind}`)
      return reply.submitted
    },
    async executed() {
      const { rows } = await client.query<{ count: string }>('select count(*) from bench_rows')
      return Number(rows[0]?.count)
    },
    [Symbol.asyncDispose]: () => kept.disposeAsync(),
  }
}
