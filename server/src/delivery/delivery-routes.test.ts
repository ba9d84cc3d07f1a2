import { get } from 'node:http'
import { after, describe, test } from 'node:test'
import { openServices } from '@pulse/dev/services'
import { pino } from 'pino'
import { Registry } from 'prom-client'
import type { Caller, Gatekeeper } from '../http/access.ts'
import { openHttpWorld } from '../http/http-world.ts'
import { treeOf } from '../subscriptions/subscriptions.ts'
import { openDelivery } from './delivery.ts'
import { deliveryRoutes } from './delivery-routes.ts'
import { DeliveryWorld, until } from './delivery-world.ts'

const services = await openServices(['postgres'])
after(() => services[Symbol.asyncDispose]())

const reader: Caller = { kind: 'open', id: 'o', name: 'open', scopes: new Set(['stream:read']) }
const anyone: Gatekeeper = {
  authenticate: () => reader,
  carriesCredential: () => true,
  limit: () => undefined,
}

describe('an event stream', { skip: services.skip('postgres') }, () => {
  test('whose client has gone before the log answered is not kept', async () => {
    await using world = await DeliveryWorld.open(services.address('postgres'))
    const { promise: asked, resolve: wasAsked } = Promise.withResolvers<void>()
    const { promise: answered, resolve: answer } = Promise.withResolvers<void>()
    const slow = Object.create(world.log, {
      bounds: {
        value: async (topic: string) => {
          wasAsked()
          await answered
          return world.log.bounds(topic)
        },
      },
      read: { value: world.log.read.bind(world.log) },
    }) as typeof world.log
    await using delivery = openDelivery({
      ...{ log: slow, topics: [world.topic], isLive: () => true, logger: pino({ level: 'silent' }) },
      subscriptions: { isControl: () => false, changesOf: async () => [], versions: async () => [] },
      settings: { connectionsMax: 10, connectionsPerSubscriberMax: 10, drainMsMax: 0 },
      metrics: new Registry(),
    })
    await using http = await openHttpWorld({
      gatekeeper: anyone,
      routes: (routes) =>
        deliveryRoutes(routes, {
          ...{ delivery, compile: treeOf, enforce: treeOf, authenticate: async () => reader },
        }),
    })
    const address = `${http.url}/stream?filter=${encodeURIComponent('event_type = "a"')}`
    const request = get(address)
    request.on('error', () => {})
    await asked
    const sockets = () =>
      new Promise<number>((resolve) => http.http.server.getConnections((_, count) => resolve(count)))
    request.destroy()
    let open = 1
    await until('the client has gone', () => {
      sockets().then((count) => {
        open = count
      })
      return open === 0
    })
    answer()
    const later = get(address)
    later.on('error', () => {})
    await until('the stream of the next one', () => delivery.streams().length > 0)
    later.destroy()
    await until('nobody is left', () => delivery.streams().length === 0)
  })
})
