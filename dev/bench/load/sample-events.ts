import { hash, randomUUID } from 'node:crypto'

/** Varied events of about 300 bytes as JSON text, cheap enough to make a hundred thousand of them in a second. */

/** Different bodies. More than a group commit holds, so that no two of a compressed batch are alike. */
export const bodyCount = 20_000

const types = ['page_view', 'purchase', 'user_signup', 'order.created', 'search', 'custom'] as const
const wantedBytes = 300

/**
 * Everything of an event that follows its id. The same number gives the same text in every process, so that an
 * event of long ago can be sent again.
 */
export function makeBodies(): readonly string[] {
  const random = seeded(20_260_101)
  return Array.from({ length: bodyCount }, (_, n) => makeBody(n, random))
}

function makeBody(n: number, random: () => number): string {
  const pick = (below: number) => Math.floor(random() * below)
  const word = () => Math.floor(random() * 0x1_0000_0000).toString(36)
  const properties = {
    amount: 1 + pick(500_000) / 100,
    currency: ['USD', 'EUR', 'GBP', 'JPY'][pick(4)],
    path: `/${word()}/${word()}`,
    referrer: `https://${word()}.example/${pick(10_000)}`,
    session: `${word()}${word()}`,
    note: '',
  }
  const event = {
    event_type: types[pick(types.length)],
    user_id: `user_${pick(100_000)}`,
    timestamp: new Date(Date.UTC(2025, 0, 1) + n * 1_733).toISOString(),
    properties,
  }
  const idBytes = '{"event_id":"00000000-0000-0000-0000-000000000000",'.length
  while (JSON.stringify(event).length - 1 + idBytes < wantedBytes) properties.note += word().slice(0, 4)
  return `",${JSON.stringify(event).slice(1)}`
}

/** The text of the event with this id and body number. */
export function eventText(bodies: readonly string[], id: string, body: number): string {
  return `{"event_id":"${id}${bodies[body % bodyCount]}`
}

/** The id of prepared event number `n`. */
export function windowId(n: number): string {
  const hex = hash('md5', `pulse bench ${n}`)
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-8${hex.slice(17, 20)}-${hex.slice(20)}`
}

/** Numbers of 0 to 1, always the same ones for a seed (mulberry32). */
function seeded(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 0x1_0000_0000
  }
}

const rememberedMax = 500_000

/** Makes the events of a run: new ones with random ids, and now and then one that was acknowledged before. */
export class EventSource {
  readonly #bodies = makeBodies()
  readonly #repeats: number
  readonly #windowEvents: number
  readonly #ids: string[] = []
  readonly #numbers = new Int32Array(rememberedMax)
  #remembered = 0
  #next = Math.floor(Math.random() * bodyCount)

  constructor(options: { repeats: number; windowEvents: number }) {
    this.#repeats = options.repeats
    this.#windowEvents = options.windowEvents
  }

  /** `count` events as a JSON array, or one event if `count` is 0; `sent` is for `acknowledged`. */
  body(count: number): { text: string; sent: Sent } {
    const sent: Sent = { ids: [], numbers: [] }
    if (count === 0) return { text: this.#event(sent), sent }
    let text = '['
    for (let n = 0; n < count; n++) text += n === 0 ? this.#event(sent) : `,${this.#event(sent)}`
    return { text: `${text}]`, sent }
  }

  /** From now on these may be sent again. */
  acknowledged(sent: Sent): void {
    if (this.#repeats === 0) return
    sent.ids.forEach((id, n) => {
      const at = this.#remembered++ % rememberedMax
      this.#ids[at] = id
      this.#numbers[at] = sent.numbers[n] ?? 0
    })
  }

  #event(sent: Sent): string {
    if (this.#repeats > 0 && Math.random() < this.#repeats) {
      const old = this.#old()
      if (old !== undefined) return old
    }
    const id = randomUUID()
    const number = this.#next++
    sent.ids.push(id)
    sent.numbers.push(number)
    return eventText(this.#bodies, id, number)
  }

  #old(): string | undefined {
    if (this.#windowEvents > 0 && Math.random() < 0.5) {
      const number = Math.floor(Math.random() * this.#windowEvents)
      return eventText(this.#bodies, windowId(number), number)
    }
    const at = Math.floor(Math.random() * Math.min(this.#remembered, rememberedMax))
    const id = this.#ids[at]
    return id === undefined ? undefined : eventText(this.#bodies, id, this.#numbers[at] ?? 0)
  }
}

/** The new events of one request. */
export interface Sent {
  readonly ids: string[]
  readonly numbers: number[]
}
