import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { Notice } from './connection.ts'
import { memoryStore, type PositionStore } from './position-store.ts'
import type { StreamItem } from './stream-item.ts'
import { subscribe } from './subscription.ts'
import type { Subscription } from './subscription-options.ts'
import { type Line, pointOf, SimulatedServer, settled, slotOf, TurnedClock } from './subscription-world.ts'

// Random stories of a server, a network, a consumer and its crashes. After each step and at the end: every event that
// matches was seen or is covered by a gap that was told, none was seen twice in one life, and none in the next life
// that was stored as taken in the life before.

interface Options {
  readonly slow: 'replay' | 'drop-oldest'
  readonly dedupe: 'exact' | 'deferred'
}

interface Seen {
  readonly epoch: number
  readonly slot: number
  readonly offset: number
}

/** The real thing with everything around it simulated, and its judge. */
class Story {
  readonly clock = new TurnedClock()
  readonly server: SimulatedServer
  readonly store: PositionStore = memoryStore()
  readonly #options: Options
  #seed: number
  #life: {
    readonly subscription: Subscription
    readonly crash: () => void
    readonly iterator: AsyncIterator<StreamItem>
  }
  #inHand: Seen | { readonly covers: (row: Seen) => boolean } | undefined
  #isAsking = false
  #isOver = false
  #failure: unknown
  #count = 0
  readonly #published: (Seen & { readonly id: string })[] = []
  readonly #covered: ((row: Seen) => boolean)[] = []
  #seen: Seen[] = []
  #seenInLife = new Map<string, number>()
  #idsInLife = new Set<string>()
  #stored: Seen[] = []
  readonly notices: Notice[] = []
  /** Frames were lost or damaged: the client may complain. */
  hasMeddled = false

  constructor(options: Options, seed: number) {
    this.#options = options
    this.#seed = seed
    this.server = new SimulatedServer(this.clock, options.dedupe)
    this.#life = this.#begin()
  }

  publish(slot: number, matches: boolean, repeatOf: number | undefined): void {
    const known =
      repeatOf === undefined ? undefined : this.#published[repeatOf % (this.#published.length || 1)]
    const isRepeat = this.#options.dedupe === 'deferred' && known?.slot === slot
    const id = isRepeat ? known.id : `id-${this.#count++}`
    const row = { epoch: this.server.epoch, slot, offset: this.server.end[slot] as number }
    this.server.append(slot, { id, matches })
    if (matches) this.#published.push({ ...row, id })
  }

  hold(reason: string): void {
    this.#life.subscription.hold(reason)
  }

  release(reason: string): void {
    this.#life.subscription.release(reason)
  }

  /** The consumer asks for so many items, or waits for the first that is not there yet. */
  async consume(count: number): Promise<void> {
    for (let n = 0; n < count; n++) {
      if (!this.#isAsking) {
        this.#isAsking = true
        this.#confirm()
        const { iterator } = this.#life
        iterator.next().then(
          (result) => this.#take(iterator, result),
          (error: unknown) => {
            this.#failure ??= error
          },
        )
      }
      await settled()
      if (this.#failure !== undefined) throw this.#failure
      if (this.#isAsking) return
    }
  }

  /** Asking for the next item, the consumer has done with the last one. */
  #confirm(): void {
    if (this.#inHand === undefined) return
    if ('offset' in this.#inHand) this.#seen.push(this.#inHand)
    else this.#covered.push(this.#inHand.covers)
    this.#inHand = undefined
  }

  #take(iterator: AsyncIterator<StreamItem>, result: IteratorResult<StreamItem>): void {
    // What a crashed consumer had asked for reaches nobody.
    if (iterator !== this.#life.iterator || this.#isOver) return
    this.#isAsking = false
    try {
      assert.ok(!result.done, 'the subscription has ended')
      this.#see(result.value)
    } catch (error) {
      this.#failure ??= error
    }
  }

  replaceLog(): void {
    this.server.replaceLog()
    if (this.#life.subscription.position === undefined) this.#excuseOldLogs()
  }

  /** Without any position, nobody can know that there was another log before. */
  #excuseOldLogs(): void {
    const { epoch } = this.server
    this.#covered.push((row) => row.epoch < epoch)
  }

  crash(): void {
    this.#life.crash()
    if (this.store.load() === undefined) this.#excuseOldLogs()
    this.#isAsking = false
    // It crashed over what it had in hand.
    this.#inHand = undefined
    this.#seenInLife = new Map()
    this.#idsInLife = new Set()
    const stored = this.store.load()
    const point = typeof stored === 'string' ? pointOf(stored) : undefined
    this.#stored = point ? point.offsets.map((offset, slot) => ({ epoch: point.epoch, slot, offset })) : []
    this.#life = this.#begin()
  }

  /** The current connection, if it carries anything. */
  get line(): Line | undefined {
    return this.server.lines.at(-1)
  }

  /** Lets everything recover and checks that nothing is missing. */
  async finish(): Promise<void> {
    this.server.isDown = false
    this.server.hasNoCredential = false
    for (const reason of ['hidden', 'offline']) this.release(reason)
    for (let round = 0; round < 60 && this.missing().length > 0; round++) {
      await this.clock.turn(round % 4 === 0 ? 40_000 : 1_000)
      for (const line of [...this.server.lines]) {
        this.server.flow(line)
        this.server.serve(line, 100, round % 2 === 0)
        if (round % 5 === 4) this.server.checkpoint(line)
        this.server.flow(line)
      }
      await this.consume(200)
    }
    this.#confirm()
    assert.deepEqual(this.missing(), [], 'events that were neither seen nor told to be missing')
    const complaints = this.notices.filter(({ kind }) => kind === 'mismatch' || kind === 'bad-frame')
    if (!this.hasMeddled)
      assert.deepEqual(complaints, [], 'complaints about a network that did nothing wrong')
    this.#isOver = true
    await this.#life.subscription.close()
    this.#life.crash()
  }

  missing(): readonly Seen[] {
    const seen = new Set(this.#seen.map(nameOf))
    const ids = new Set(this.#published.filter((row) => seen.has(nameOf(row))).map(({ id }) => id))
    return this.#published.filter(
      (row) => !seen.has(nameOf(row)) && !ids.has(row.id) && !this.#covered.some((covers) => covers(row)),
    )
  }

  #begin() {
    const { needs, crash } = this.server.needs(() => this.#random())
    const subscription = subscribe(
      {
        subscriber: 'user_1',
        from: 'start',
        store: this.store,
        slow: this.#options.slow,
        limits: { eventsMax: 8 },
        onNotice: (notice) => this.notices.push(notice),
      },
      needs,
    )
    return { subscription, crash, iterator: subscription[Symbol.asyncIterator]() }
  }

  #see(item: StreamItem): void {
    if (item.kind === 'gap') {
      this.#inHand = { covers: coverOf(item.from, item.to) }
      return
    }
    const slot = slotOf(item.topic, item.partition)
    // The epoch is not told with an event: it is that of the row with this id at this place.
    const rows = this.#published.filter((row) => row.slot === slot && row.offset === item.offset)
    const row = rows.find(({ id }) => id === item.event.event_id)
    assert.ok(row, `${item.event.event_id} was never published at ${slot}/${item.offset}`)
    const place = `${row.epoch}/${slot}`
    assert.ok(row.offset > (this.#seenInLife.get(place) ?? -1), `${nameOf(row)} came twice or too late`)
    this.#seenInLife.set(place, row.offset)
    assert.ok(!this.#idsInLife.has(row.id), `${row.id} came twice`)
    this.#idsInLife.add(row.id)
    for (const stored of this.#stored)
      if (stored.epoch === row.epoch && stored.slot === slot)
        assert.ok(row.offset >= stored.offset, `${nameOf(row)} was stored as taken`)
    this.#inHand = row
  }

  // fast-check would shrink a call to Math.random away; this is repeatable.
  #random(): number {
    this.#seed = (Math.imul(this.#seed, 1_664_525) + 1_013_904_223) >>> 0
    return this.#seed / 2 ** 32
  }
}

const nameOf = ({ epoch, slot, offset }: Seen) => `${epoch}/${slot}/${offset}`

function coverOf(fromText: string, toText: string) {
  const [from, to] = [pointOf(fromText), pointOf(toText)]
  return ({ epoch, slot, offset }: Seen) => {
    const isAfterFrom =
      epoch > from.epoch || (epoch === from.epoch && offset >= (from.offsets[slot] as number))
    const isBeforeTo = epoch < to.epoch || (epoch === to.epoch && offset < (to.offsets[slot] as number))
    return isAfterFrom && isBeforeTo
  }
}

type Act = (story: Story) => void | Promise<void>

/** A step of a story. The judge is in the story itself, so the model of fast-check has nothing to say. */
class Step implements fc.AsyncCommand<object, Story> {
  readonly #name: string
  readonly #act: Act

  constructor(name: string, act: Act) {
    this.#name = name
    this.#act = act
  }

  check(): boolean {
    return true
  }

  async run(_model: object, story: Story): Promise<void> {
    await this.#act(story)
    await settled()
  }

  toString(): string {
    return this.#name
  }
}

const step = <Value>(name: string, values: fc.Arbitrary<Value>, act: (value: Value) => Act) =>
  values.map((value) => new Step(`${name}(${JSON.stringify(value) ?? ''})`, act(value)))

const slot = fc.nat(2)

/** What happens to a connection, if there is one. */
const onLine = <Value>(
  name: string,
  values: fc.Arbitrary<Value>,
  act: (line: Line, value: Value, story: Story) => void,
) =>
  step(name, values, (value) => (story) => {
    if (story.line) act(story.line, value, story)
  })

function meddle(line: Line, at: number, story: Story, change: (texts: string[], at: number) => void): void {
  if (line.toClient.length === 0) return
  story.hasMeddled = true
  change(line.toClient, at % line.toClient.length)
}

const nothing = fc.constant(undefined)

const steps = [
  step(
    'publish',
    fc.record({ slot, matches: fc.boolean(), repeatOf: fc.option(fc.nat(50), { nil: undefined }) }),
    (row) => (story) => story.publish(row.slot, row.matches, row.repeatOf),
  ),
  step('publishMany', fc.tuple(slot, fc.nat(30)), ([at, count]) => (story) => {
    for (let n = 0; n < count; n++) story.publish(at, n % 3 !== 1, undefined)
  }),
  onLine('serve', fc.tuple(fc.integer({ min: 1, max: 10 }), fc.boolean()), (line, [rows, asBatch], story) => {
    story.server.serve(line, rows, asBatch)
  }),
  onLine('flow', nothing, (line, _nothing, story) => story.server.flow(line)),
  onLine('serveAndFlow', fc.integer({ min: 1, max: 10 }), (line, rows, story) => {
    story.server.serve(line, rows, true)
    story.server.flow(line)
  }),
  onLine('checkpoint', nothing, (line, _nothing, story) => story.server.checkpoint(line)),
  onLine('close', fc.constantFrom(1001, 1006, 1011, 4408, 4410, 4429, 4500, 4503), (line, code, story) => {
    story.server.close(line, code)
  }),
  onLine('cut', nothing, (line) => {
    line.isCut = true
  }),
  onLine('drain', fc.nat(20_000), (line, afterMs, story) => story.server.drain(line, afterMs)),
  onLine('lag', nothing, (line, _nothing, story) => story.server.lag(line)),
  onLine('lose', fc.nat(9), (line, at, story) => meddle(line, at, story, (texts, n) => texts.splice(n, 1))),
  onLine('repeat', fc.nat(9), (line, at, story) =>
    meddle(line, at, story, (texts, n) => texts.splice(n, 0, texts[n] as string)),
  ),
  onLine('damage', fc.nat(9), (line, at, story) =>
    meddle(line, at, story, (texts, n) => texts.splice(n, 1, (texts[n] as string).slice(1))),
  ),
  step('wait', fc.constantFrom(10, 200, 1_000, 30_000, 60_000), (ms) => (story) => story.clock.turn(ms)),
  step('hold', fc.constantFrom('hidden', 'offline'), (reason) => (story) => story.hold(reason)),
  step('release', fc.constantFrom('hidden', 'offline'), (reason) => (story) => story.release(reason)),
  step('consume', fc.integer({ min: 1, max: 6 }), (count) => (story) => story.consume(count)),
  step('crash', nothing, () => (story) => story.crash()),
  step(
    'trim',
    fc.tuple(slot, fc.integer({ min: 1, max: 5 })),
    ([at, rows]) =>
      (story) =>
        story.server.trim(at, rows),
  ),
  step('replaceLog', nothing, () => (story) => story.replaceLog()),
  step('noCredential', fc.boolean(), (isGone) => (story) => {
    story.server.hasNoCredential = isGone
  }),
  step('down', fc.boolean(), (isDown) => (story) => {
    story.server.isDown = isDown
  }),
]

/** Repeats a seed of a failure: `{ seed, path, numRuns: 1 }` in its report. */
const runs = { numRuns: 1_000 } as const

for (const options of [
  { slow: 'replay', dedupe: 'exact' },
  { slow: 'replay', dedupe: 'deferred' },
  { slow: 'drop-oldest', dedupe: 'exact' },
] as const)
  test(`whatever happens to server, network and consumer, each event is seen once or told to be missing (${options.slow}, ${options.dedupe})`, async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.commands(steps, { maxCommands: 60, size: 'max' }),
        fc.nat(),
        async (commands, seed) => {
          const story = new Story(options, seed)
          await fc.asyncModelRun(() => ({ model: {}, real: story }), commands)
          await story.finish()
        },
      ),
      runs,
    )
  })
