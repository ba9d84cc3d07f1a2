import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Outcome, RetryPolicy } from './attempts.ts'
import { type FoundKey, type Letter, letterOfParked, type ParkedLetter } from './letter.ts'
import { Letters } from './letters.ts'

// What hundreds of blocked keys leave of the room that a webhook has.

const hourMs = 3_600_000

const answered = (status: number): Outcome => ({ kind: 'answered', status, retryAfterMs: undefined })

/** Number `n` of a key, as an owner before this one has parked it. */
const parked = (key: string, n: number): ParkedLetter =>
  letterOfParked({
    ...{ id: `${key}/${n}`, key, event_id: `${key}/${n}`, body: '{}', received_at: '2026-01-01T00:00:00Z' },
    ...{ topic: 'events', partition: 0, log_epoch: 1, record_offset: n },
  })

const foundKeys = (keys: number, count: number): readonly FoundKey[] =>
  Array.from({ length: keys }, (_, key) => {
    return { key: `bad_${key}`, count, highest: { log_epoch: 1, record_offset: count - 1 } }
  })

const redriven = (key: string): Letter => ({
  ...{ eventId: key, key, body: () => '{}' },
  from: { kind: 'redriven', id: key },
})

/** Letters to a receiver that answers as it is told, undefined for not at all. A second attempt is not made. */
function openLetters(
  count: number,
  answer: (letter: Letter) => Promise<Outcome> | Outcome | undefined,
  more: Partial<RetryPolicy> = {},
) {
  const sent = new Set<string>()
  const refused = new Set<string>()
  const letters = new Letters({
    ...{ concurrencyMax: 2_000, policy: { attemptsMax: 2, baseMs: hourMs, maxMs: hourMs, ...more } },
    random: () => 1,
    send: async (letter, signal) => {
      sent.add(letter.eventId)
      const outcome = answer(letter)
      if (outcome) return outcome
      return await new Promise((resolve) =>
        signal.addEventListener('abort', () => resolve({ kind: 'left' }), { once: true }),
      )
    },
    next: async (key, { after, countMax }) => {
      const from = after === undefined ? 0 : after.record_offset + 1
      const to = Math.min(from + countMax, count)
      return Array.from({ length: to - from }, (_, n) => parked(key, from + n))
    },
    failed: ({ eventId }) => refused.add(eventId),
    ...{ park: async () => {}, bury: async () => {}, taken: () => {}, blocked: () => {}, drained: () => {} },
    gone: () => assert.fail('no receiver wants no more'),
    unread: (error) => assert.fail(String(error)),
    parked: () => assert.fail('nothing comes with the stream'),
  })
  const end = async () => await letters.stop(0)
  return { letters, sent, refused, [Symbol.asyncDispose]: end }
}

async function until(what: string, is: () => boolean): Promise<void> {
  const deadline = performance.now() + 10_000
  while (!is()) {
    assert.ok(performance.now() < deadline, what)
    await nextTurn()
  }
}

const numberOf = ({ from }: Letter) => (from.kind === 'parked' ? from.row.record_offset : -1)

test('of each key that waits for its first success only one event is in memory, at first and after one that was given up', async () => {
  // It gives up the first of each key and never answers the second.
  const answer = (letter: Letter) => (numberOf(letter) === 0 ? answered(500) : undefined)
  await using world = openLetters(10, answer, { attemptsMax: 1 })
  const { letters, sent } = world
  letters.found(foundKeys(150, 10))
  await until('the first two of each are sent', () => sent.size === 300)
  assert.equal(letters.hasRoom, true)
})

test('what was taken out behind an event is let go when that is refused, although nothing else is taken', async () => {
  // It takes the first of each key, so that ten more are taken out, and then no other.
  const answer = (letter: Letter) => answered(numberOf(letter) === 0 ? 200 : 500)
  await using world = openLetters(30, answer)
  const { letters, refused } = world
  letters.found(foundKeys(150, 30))
  await until('the second of each is refused', () => refused.size === 150)
  assert.equal(letters.hasRoom, true)
})

test('where blocked keys take more than half of the room, what is left of it is used again', async () => {
  let open = () => {}
  const gate = new Promise<Outcome>((resolve) => {
    open = () => resolve(answered(200))
  })
  await using world = openLetters(1, ({ key }) => (key.startsWith('good') ? gate : undefined))
  const { letters, sent } = world
  letters.found(foundKeys(600, 1))
  await until('all that waits is taken out', () => sent.size === 600)
  for (let good = 0; good < 400; good++) letters.add(redriven(`good_${good}`))
  assert.equal(letters.hasRoom, false)
  open()
  await until('there is room again', () => letters.hasRoom)
})
