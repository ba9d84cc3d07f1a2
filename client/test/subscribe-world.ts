import assert from 'node:assert/strict'
import {
  type ConnectionState,
  createClient,
  type Gap,
  type Notice,
  type ReceivedEvent,
  type Subscription,
} from '@pulse/client'
import { type Installation, type InstallationOptions, openInstallation } from '@pulse/dev/faults/installation'
import { eventually } from '@pulse/dev/services/eventually'
import { freshDatabase } from '@pulse/dev/services/postgres'
import type { PulseProcess } from '@pulse/dev/services/pulse'

/** A database of its own and a server on it. Disposing also closes what was subscribed in it. */
export async function openSubscribeWorld(
  postgres: string,
  options: Partial<Omit<InstallationOptions, 'databaseUrl'>> = {},
) {
  const database = await freshDatabase(postgres)
  const installation = await openInstallation({ databaseUrl: database.url, ...options })
  const server = await installation.start()
  const subscriptions: Subscription[] = []
  return {
    database,
    installation,
    server,
    client: createClient({ url: server.url, credential: server.key }),
    subscriptions,
    [Symbol.asyncDispose]: async () => {
      for (const subscription of subscriptions) await subscription.close()
      await installation[Symbol.asyncDispose]()
      await database[Symbol.asyncDispose]()
    },
  }
}

export type SubscribeWorld = Awaited<ReturnType<typeof openSubscribeWorld>>

/** The same server again: same data, same address. */
export const startAgain = (installation: Installation, before: PulseProcess) =>
  installation.start({ PORT: new URL(before.url).port }, before.data)

/** What the subscriptions of `collect` ask for, unless they say otherwise. */
export const filter = { expression: 'event_type = "sdk.*"' }

/** A subscription with all that it was told. */
export interface Collected {
  readonly subscription: Subscription
  readonly events: ReceivedEvent[]
  readonly gaps: Gap[]
  readonly notices: Notice[]
  readonly states: ConnectionState[]
}

type Client = SubscribeWorld['client']

/** Subscribes and collects what comes. */
export function collect(
  world: SubscribeWorld,
  more: Partial<Parameters<Client['subscribe']>[0]> = {},
  client = world.client,
): Collected {
  const collected = { events: [], gaps: [], notices: [], states: [] } as Omit<Collected, 'subscription'>
  const subscription = client.subscribe({
    subscriber: 'user_1',
    filter,
    ...more,
    onEvent: (event) => collected.events.push(event),
    onGap: (gap) => collected.gaps.push(gap),
    onNotice: (notice) => collected.notices.push(notice),
    onConnection: (state) => collected.states.push(state),
  })
  world.subscriptions.push(subscription)
  return { subscription, ...collected }
}

/** The number that a test has given to an event. */
export const numberOf = ({ event }: Pick<ReceivedEvent, 'event'>) => Number(event.properties.n)

/** Waits until a subscription is connected. */
export const isLive = (subscription: Subscription) =>
  eventually('live', async () => subscription.connection.kind === 'live' || undefined, 20_000)

/** Each number below `count` that is wanted came once, and those of a user in their order. */
export function isExact(
  events: readonly ReceivedEvent[],
  count: number,
  wants: (n: number) => boolean = () => true,
): void {
  const numbers = events.map(numberOf)
  assert.deepEqual(
    numbers.toSorted((a, b) => a - b),
    Array.from({ length: count }, (_, n) => n).filter(wants),
  )
  for (const user of new Set(events.map(({ event }) => event.user_id))) {
    const own = events.filter(({ event }) => event.user_id === user).map(numberOf)
    assert.deepEqual(
      own,
      own.toSorted((a, b) => a - b),
      `order of ${user}`,
    )
  }
}
