import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import {
  advance,
  type EndCause,
  firstLink,
  type Link,
  type LinkEvent,
  linkRules,
  type Moment,
  startingHold,
} from './link.ts'
import { PulseError } from './pulse-error.ts'

const fresh = { failures: 0, renewed: false }
const asked: EndCause = { kind: 'asked' }
const moment: Moment = { nowMs: 100_000, heardMs: 100_000, rules: { ...linkRules, renewable: false } }

const states: readonly Link[] = [
  { kind: 'held', tries: fresh, holds: new Set(['hidden']) },
  { kind: 'opening', tries: fresh },
  { kind: 'greeting', tries: fresh },
  { kind: 'placing', tries: fresh, heartbeatMs: 25_000 },
  { kind: 'live', tries: fresh, heartbeatMs: 25_000, sinceMs: 0, pinged: false },
  { kind: 'leaving', tries: fresh, afterMs: 3_000 },
  { kind: 'asking', tries: fresh },
  { kind: 'waiting', tries: fresh },
  { kind: 'ended', cause: asked },
]

const events = [
  { kind: 'hold', reason: 'offline' },
  { kind: 'release', reason: 'hidden' },
  { kind: 'opened' },
  { kind: 'unable', refusal: undefined },
  { kind: 'greeted', heartbeatMs: 25_000 },
  { kind: 'positioned' },
  { kind: 'delivered' },
  { kind: 'moved', afterMs: 3_000 },
  { kind: 'faulty' },
  { kind: 'denied', error: new PulseError({ code: 'invalid_event', detail: 'x' }) },
  { kind: 'closed', code: 1006, reason: '' },
  { kind: 'answered', refusal: undefined },
  { kind: 'elapsed' },
  { kind: 'end', cause: asked },
] as const satisfies readonly LinkEvent[]

// One line per state, one letter per event in the order above. h held, o opening, g greeting, p placing, l live,
// v leaving, a asking, w waiting, e ended.
const expected: Readonly<Record<Link['kind'], string>> = {
  held: 'hohhhhhhhhhhhe',
  opening: 'hogwwwwwwoaowe',
  greeting: 'hgggpwwwwgwgwe',
  placing: 'hpppwlwwwewpwe',
  live: 'hlllwllvwlwlle',
  leaving: 'hvvvwvvvwvwvoe',
  asking: 'haaaaaaaaaawwe',
  waiting: 'hwwwwwwwwwwwoe',
  ended: 'eeeeeeeeeeeeee',
}

const letters: Readonly<Record<string, string>> = { leaving: 'v' }
const letterOf = ({ kind }: Link) => letters[kind] ?? kind.slice(0, 1)

test('every state meets every event as the table says', () => {
  for (const state of states) {
    const met = events.map((event) => letterOf(advance(state, event, moment).link)).join('')
    assert.equal(met, expected[state.kind], state.kind)
  }
})

const anEvent: fc.Arbitrary<LinkEvent> = fc.oneof(
  fc.constantFrom(...events),
  fc.record({
    kind: fc.constant('closed' as const),
    code: fc.constantFrom(1000, 1001, 1006, 4400, 4401, 4408, 4410, 4429, 4500, 4503),
    reason: fc.constant(''),
  }),
  fc.record({
    kind: fc.constantFrom('hold' as const, 'release' as const),
    reason: fc.constantFrom('a', 'b'),
  }),
)

test('whatever happens, a link that waits for something has armed its timer or holds a reason, and none is open while it is held', () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(anEvent, fc.nat(60_000)), { maxLength: 60 }), (story) => {
      let link: Link = firstLink
      let isArmed = false
      let isOpen = false
      let nowMs = 0
      let heardMs = 0
      for (const [event, ms] of [
        [{ kind: 'release', reason: startingHold } as LinkEvent, 0] as const,
        ...story,
      ]) {
        nowMs += ms
        if (event.kind === 'delivered' || event.kind === 'positioned') heardMs = nowMs
        if (event.kind === 'elapsed') {
          if (!isArmed) continue
          isArmed = false
        }
        const step = advance(link, event, { ...moment, nowMs, heardMs })
        link = step.link
        for (const action of step.actions) {
          if (action.do === 'arm') {
            assert.ok(action.fromMs >= 0 && action.toMs >= action.fromMs, JSON.stringify(action))
            isArmed = true
          }
          if (action.do === 'disarm') isArmed = false
          if (action.do === 'open') isOpen = true
          if (action.do === 'drop') isOpen = false
        }
        const { kind } = link
        assert.equal(isArmed, kind !== 'held' && kind !== 'ended', `${kind} after ${event.kind}`)
        assert.equal(
          isOpen,
          !['held', 'asking', 'waiting', 'ended'].includes(kind),
          `${kind} after ${event.kind}`,
        )
        if (link.kind === 'held') assert.ok(link.holds.size > 0)
      }
    }),
  )
})

const live: Link = { kind: 'live', tries: fresh, heartbeatMs: 25_000, sinceMs: 99_000, pinged: false }

/** Upper and lower end of the wait after a socket was closed. */
function waitAfter(link: Link, code: number): readonly [number, number] {
  const arm = advance(link, { kind: 'closed', code, reason: '' }, moment).actions.find(
    ({ do: what }) => what === 'arm',
  )
  assert.ok(arm?.do === 'arm')
  return [arm.fromMs, arm.toMs]
}

test('waits double from half a second to half a minute, with full jitter, until a connection was steady', () => {
  const after = (failures: number, sinceMs = 99_000) =>
    waitAfter({ ...live, sinceMs, tries: { failures, renewed: false } }, 1006)
  assert.deepEqual(after(0), [0, 500])
  assert.deepEqual(after(3), [0, 4_000])
  assert.deepEqual(after(50), [0, 30_000])
  assert.deepEqual(after(50, 95_000), [0, 500])
})

test('a close code decides whether, when and from where to come back', () => {
  assert.deepEqual(waitAfter(live, 4429), [5_000, 5_500])
  assert.deepEqual(waitAfter(live, 4408), [0, 500])
  const gone = advance(live, { kind: 'closed', code: 4410, reason: '' }, moment)
  assert.equal(gone.actions[0]?.do, 'forget')
  for (const code of [1000, 1002, 1008, 4400, 4401, 4403, 4404, 4700]) {
    const { link } = advance(live, { kind: 'closed', code, reason: 'why' }, moment)
    assert.deepEqual(link, { kind: 'ended', cause: { kind: 'closed', code, reason: 'why' } })
  }
})

test('a credential that was not taken is fetched anew once, and again after it had worked', () => {
  const renewable: Moment = { ...moment, rules: { ...moment.rules, renewable: true } }
  const closed: LinkEvent = { kind: 'closed', code: 4401, reason: '' }
  const once = advance(live, closed, renewable).link
  assert.ok(once.kind === 'waiting' && once.tries.renewed)
  const opening = advance(once, { kind: 'elapsed' }, renewable).link
  const greeting = advance(opening, { kind: 'opened' }, renewable).link
  assert.equal(advance(greeting, closed, renewable).link.kind, 'ended')
  const placing = advance(greeting, { kind: 'greeted', heartbeatMs: 1 }, renewable).link
  const again = advance(placing, { kind: 'positioned' }, renewable).link
  assert.equal(advance(again, closed, renewable).link.kind, 'waiting')
})

test('a silent server is asked after one heartbeat and given up after two', () => {
  const at = (silentMs: number, pinged: boolean) =>
    advance({ ...live, pinged }, { kind: 'elapsed' }, { ...moment, heardMs: moment.nowMs - silentMs })
  assert.deepEqual(at(10_000, false).actions, [{ do: 'arm', fromMs: 15_000, toMs: 15_000 }])
  assert.deepEqual(at(25_000, false).actions, [{ do: 'ping' }, { do: 'arm', fromMs: 25_000, toMs: 25_000 }])
  assert.equal(at(50_000, true).link.kind, 'waiting')
  // A laptop that slept wakes up: no ping will tell more than the hour of silence.
  assert.equal(at(3_600_000, false).link.kind, 'waiting')
})

test('a server that asks to leave is obeyed when it said, also if it goes before', () => {
  const leaving = advance(live, { kind: 'moved', afterMs: 3_000 }, moment)
  assert.deepEqual(leaving.actions, [{ do: 'arm', fromMs: 3_000, toMs: 3_000 }])
  assert.equal(advance(leaving.link, { kind: 'elapsed' }, moment).link.kind, 'opening')
  assert.deepEqual(waitAfter(leaving.link, 4503), [3_000, 3_000])
})

test('a refusal that will not pass ends it; one that passes does not', () => {
  const asking: Link = { kind: 'asking', tries: fresh }
  const refusal = new PulseError({ code: 'forbidden', detail: 'no', status: 403 })
  const { link } = advance(asking, { kind: 'answered', refusal }, moment)
  assert.deepEqual(link, { kind: 'ended', cause: { kind: 'failed', error: refusal } })
  const placing: Link = { kind: 'placing', tries: fresh, heartbeatMs: 1 }
  const denied = (code: 'over_budget' | 'invalid_request') =>
    advance(placing, { kind: 'denied', error: new PulseError({ code, detail: '' }) }, moment).link.kind
  assert.equal(denied('over_budget'), 'waiting')
  assert.equal(denied('invalid_request'), 'ended')
})
