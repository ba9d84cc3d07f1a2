import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { setTimeout as pause } from 'node:timers/promises'
import type { Page } from '@playwright/test'
import { eventually } from '@pulse/dev/services/eventually'
import { idsOf } from './stream-client.ts'
import type { StreamJourney } from './stream-journey.ts'

// Pages of a real browser that follow a stream and go on by themselves where they were after the way was cut.

const waitMsMax = 30_000

/** A page that follows a stream. */
export interface StreamWindow {
  /** Waits until it follows, and got what was then sent. */
  begin(): Promise<void>
  /** After the way was cut and is there again: waits until it got each event that was sent since the beginning, once. */
  goOn(): Promise<void>
}

export interface WindowNeeds {
  readonly journey: StreamJourney
  /** What a browser calls the server. */
  readonly origin: string
}

/** What the page has seen of its `EventSource`. */
interface Seen {
  readonly ids: readonly string[]
  readonly opened: number
  readonly errors: number
  readonly checkpoints: number
  readonly state: number
}

const aPurchase = (n: number) => ({
  ...{ event_id: randomUUID(), event_type: 'purchase', user_id: `user_${n}` },
  properties: { amount: n },
})

/** Begins an `EventSource` in the page; what it has seen is asked for by `look()` there. */
async function listen(page: Page, subscriber: string): Promise<void> {
  await page.evaluate(
    ([name]) => {
      const seen = { ids: [] as string[], opened: 0, errors: 0, checkpoints: 0, state: 0 }
      const source = new EventSource(`/stream?subscriber=${name}`)
      source.onopen = () => seen.opened++
      source.onerror = () => seen.errors++
      source.onmessage = ({ data }) => seen.ids.push(JSON.parse(data).event_id)
      source.addEventListener('checkpoint', () => seen.checkpoints++)
      Object.assign(globalThis, { look: () => ({ ...seen, state: source.readyState }) })
    },
    [subscriber],
  )
}

/** Opens a real `EventSource` in a page of the server's own, which the session's cookie lets in. */
export async function openEventSource(page: Page, { journey, origin }: WindowNeeds): Promise<StreamWindow> {
  const subscriber = await journey.subscriber({ event_types: ['purchase'] })
  const { body } = await journey.call('POST', '/admin/sign-in-links', { role: 'viewer' })
  await page.goto((body as unknown as { url: string }).url)
  await page.getByRole('heading', { level: 1, name: 'Overview' }).waitFor()
  assert.equal(new URL(page.url()).origin, origin)
  await listen(page, subscriber)
  const until = async (what: string, holds: (seen: Seen) => boolean) =>
    eventually(
      what,
      async () => {
        const seen = await page.evaluate<Seen>('look()')
        return holds(seen) ? seen : undefined
      },
      waitMsMax,
    )
  const before = [aPurchase(1), aPurchase(2)]
  return {
    begin: async () => {
      await until('the first checkpoint', ({ checkpoints }) => checkpoints > 0)
      await journey.post(before)
      await until('two events', ({ ids }) => ids.length === 2)
    },
    goOn: async () => {
      const meanwhile = [aPurchase(3), aPurchase(4), aPurchase(5)]
      await journey.post(meanwhile)
      await until('it came back with what it missed', ({ ids, opened }) => opened >= 2 && ids.length >= 5)
      const later = [aPurchase(6)]
      await journey.post(later)
      const { ids, errors, state } = await until('what comes now', (seen) => seen.ids.length >= 6)
      const all = [before, meanwhile, later].map((events) => idsOf(events).toSorted())
      assert.deepEqual([ids.slice(0, 2).toSorted(), ids.slice(2, 5).toSorted(), ids.slice(5)], all)
      assert.ok(errors >= 1)
      assert.equal(state, 1)
    },
  }
}

/** A page with the SDK's React hook. */
export interface HookWindow extends StreamWindow {
  /** Sends one event after the other while something is done. */
  sendWhile(act: () => Promise<void>): Promise<void>
}

/** Fewer than the page keeps. */
const sentMax = 400

const shows = (page: Page, id: string, text: string) =>
  eventually(
    `#${id} shows "${text}"`,
    async () => {
      const shown = await page.textContent(`#${id}`, { timeout: 1_000 })
      if (shown !== text) throw new Error(`it shows "${shown}"`)
      return true
    },
    waitMsMax,
  )

/** Sends event number `n`, again and again until it is taken; all are of one key, so that they have an order. */
async function sendNumber(journey: StreamJourney, n: number): Promise<void> {
  const event = { event_id: randomUUID(), event_type: 'sdk.a', user_id: 'ann', properties: { n } }
  const post = async () => (await journey.call('POST', '/events', event)).status < 300 || undefined
  await eventually(`event ${n} is taken`, post, waitMsMax)
}

/** Opens the page of `client/test/react-page.ts`, which shows what its hook got, from an address that is not the server's. */
export async function openHook(
  page: Page,
  { journey, origin, address }: WindowNeeds & { readonly address: string },
): Promise<HookWindow> {
  const { key } = await journey.key(['stream:read'])
  const complaints: string[] = []
  page.on('pageerror', (error) => complaints.push(error.message))
  let sockets = 0
  page.on('websocket', () => sockets++)
  let sent = 0
  const showsAll = async () => {
    const newestFirst = Array.from({ length: sent }, (_, n) => sent - 1 - n)
    await shows(page, 'numbers', newestFirst.join(' '))
    await shows(page, 'received', String(sent))
  }
  return {
    begin: async () => {
      await page.goto(`${address}/#${encodeURIComponent(JSON.stringify({ url: origin, credential: key }))}`)
      await shows(page, 'connection', 'live')
      await sendNumber(journey, sent++)
      await showsAll()
    },
    sendWhile: async (act) => {
      let isDone = false
      const acting = act().finally(() => {
        isDone = true
      })
      const sending = async () => {
        while (!isDone && sent < sentMax) {
          await sendNumber(journey, sent++)
          // As fast as they are taken, they would be more than the page keeps.
          await pause(20)
        }
      }
      await Promise.all([acting, sending()])
    },
    goOn: async () => {
      await sendNumber(journey, sent++)
      await showsAll()
      await shows(page, 'connection', 'live')
      assert.ok(sockets >= 2, 'its socket was cut')
      assert.equal(await page.textContent('#error'), '')
      assert.deepEqual(complaints, [])
    },
  }
}
