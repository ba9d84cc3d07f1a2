import assert from 'node:assert/strict'
import { test } from 'node:test'
import { watchPage } from './page.ts'
import { TurnedClock } from './subscription-world.ts'

/** The parts of a browser's page that are watched, for as long as the test runs. Returns how to take them away. */
function openPage(visibilityState: string, onLine: boolean) {
  const document = Object.assign(new EventTarget(), { visibilityState })
  const window = new EventTarget()
  const parts = {
    document,
    navigator: { onLine },
    addEventListener: window.addEventListener.bind(window),
    removeEventListener: window.removeEventListener.bind(window),
  }
  const before = Object.entries(parts).map(([name, value]) => {
    const known = Object.getOwnPropertyDescriptor(globalThis, name)
    Object.defineProperty(globalThis, name, { value, configurable: true })
    return [name, known] as const
  })
  return {
    show: (state: string) => {
      document.visibilityState = state
      document.dispatchEvent(new Event('visibilitychange'))
    },
    tell: (type: 'online' | 'offline') => window.dispatchEvent(new Event(type)),
    [Symbol.dispose]: () => {
      for (const [name, known] of before) {
        if (known) Object.defineProperty(globalThis, name, known)
        else Reflect.deleteProperty(globalThis, name)
      }
    },
  }
}

/** Reasons that hold now. */
function openHolds() {
  const held = new Set<string>()
  return {
    held,
    hold: (reason: string) => void held.add(reason),
    release: (reason: string) => void held.delete(reason),
  }
}

test('a tab that nobody has seen for a while is a reason, and one that is seen again is none at once', async () => {
  using page = openPage('visible', true)
  const [clock, holds] = [new TurnedClock(), openHolds()]
  const end = watchPage(holds, clock, 60_000)
  page.show('hidden')
  await clock.turn(59_000)
  page.show('visible')
  await clock.turn(60_000)
  assert.deepEqual([...holds.held], [])
  page.show('hidden')
  await clock.turn(60_000)
  assert.deepEqual([...holds.held], ['hidden'])
  page.tell('offline')
  page.show('visible')
  assert.deepEqual([...holds.held], ['offline'])
  page.tell('online')
  assert.deepEqual([...holds.held], [])
  page.show('hidden')
  end()
  await clock.turn(60_000)
  page.tell('offline')
  assert.deepEqual([...holds.held], [], 'it has ended')
})

test('a page that begins without a network or unseen is held from the start; without a limit a tab may stay hidden', async () => {
  using _page = openPage('hidden', false)
  const [clock, holds, patient] = [new TurnedClock(), openHolds(), openHolds()]
  watchPage(holds, clock, 1_000)
  watchPage(patient, clock, Number.POSITIVE_INFINITY)
  await clock.turn(10_000)
  assert.deepEqual([...holds.held], ['offline', 'hidden'])
  assert.deepEqual([...patient.held], ['offline'])
})

test('outside of pages nothing is watched', () => {
  const holds = openHolds()
  watchPage(holds, new TurnedClock(), 0)()
  assert.equal(holds.held.size, 0)
})
