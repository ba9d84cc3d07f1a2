import type { Load } from '../load/load.ts'
import { connectTo, type Pulse } from '../pulse.ts'
import type { Peer } from './peer.ts'

const does =
  'POST /events over as many connections as there are calls on their way; validated, deduplicated by event_id and committed with a sync; processing runs the built-in handlers and writes one row (four indexes) with the offset.'

/** The server that runs already, with the load generator as its producer. */
export async function openPulsePeer(pulse: Pulse, load: Load): Promise<Peer> {
  const client = await connectTo(pulse.databaseUrl)
  let before = 0
  const done = async () => {
    const { rows } = await client.query<{ done: string }>(
      `select coalesce(sum(processed), 0) as done from log_group_partitions where group_name = 'processing'`,
    )
    return Number(rows[0]?.done)
  }
  return {
    name: 'Pulse',
    does,
    async reset() {
      before = await done()
    },
    async submit({ batch, inFlight, ms }) {
      const result = await load.run({
        ...{ targets: [pulse], connections: inFlight, pace: { kind: 'closed' }, batch },
        ...{ repeats: 0, windowEvents: 0, warmUpMs: 0, measuredMs: ms },
      })
      return { accepted: result.accepted, failed: result.failed }
    },
    executed: async () => (await done()) - before,
    [Symbol.asyncDispose]: () => client.end(),
  }
}
