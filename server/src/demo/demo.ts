import { type Handler, PermanentError } from '../config/define-config.ts'
import type { Intake } from '../intake/intake.ts'

const everyMs = 400
const people = ['alice', 'bob', 'carol', 'dan', 'erin', 'frank']
const products = ['lamp', 'chair', 'kettle', 'notebook', 'bicycle']
const pages = ['/', '/shop', '/shop/lamp', '/about', '/checkout']

/** Type of the sample events that fail, and the handler that fails them: the first try always, one in five for good. */
export const demoHandlers: Readonly<Record<string, Handler>> = {
  'demo.shipment': (event, ctx) => {
    if (event.properties.address === null) throw new PermanentError('A shipment needs an address')
    if (ctx.attempt === 1) throw new Error('The carrier does not answer')
    return { enriched: { carrier: 'demo', attempts: ctx.attempt } }
  },
}

/**
 * Sends sample events through the intake, a few each second, so that every page of the dashboard has something to
 * show. They are ordinary events: nothing about them is made up beyond their content. Disposing ends it.
 */
export function startDemo(needs: { intake: Intake; random?: () => number }): AsyncDisposable {
  const random = needs.random ?? Math.random
  let sending = Promise.resolve()
  const timer = setInterval(() => {
    const body = Buffer.from(JSON.stringify(sampleEvent(random)))
    const headers = { 'content-type': 'application/json' }
    // A refusal (overload, a database that is away) is the intake's to report; the next sample comes anyway.
    sending = needs.intake.accept({ body, headers, callerId: 'demo', requestId: 'demo' }).then(
      () => {},
      () => {},
    )
  }, everyMs)
  return {
    [Symbol.asyncDispose]: async () => {
      clearInterval(timer)
      await sending
    },
  }
}

/** One event of a small shop. */
function sampleEvent(random: () => number): Record<string, unknown> {
  const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)] as T
  const user_id = pick(people)
  const kind = random()
  if (kind < 0.55) return { event_type: 'page_view', user_id, properties: { url: pick(pages) } }
  if (kind < 0.85)
    return {
      event_type: 'purchase',
      user_id,
      properties: { amount: Math.round(random() * 150_000) / 100, product: pick(products), currency: 'EUR' },
    }
  if (kind < 0.93)
    return { event_type: 'user_signup', user_id, properties: { source: pick(['web', 'mobile']) } }
  return {
    event_type: 'demo.shipment',
    user_id,
    properties: { product: pick(products), address: random() < 0.2 ? null : '1 Sample Street' },
  }
}
