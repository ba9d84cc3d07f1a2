import { type Client, type Filter, PulseError, type SimpleFilter } from '@pulse/client'
import { createProgress } from '../progress.ts'
import { counted, printable, type Terminal } from '../terminal.ts'

const inFlightMax = 16
const name = 'default'

export interface LoadFiltersNeeds {
  readonly client: Client
  readonly terminal: Terminal
  readonly subscribers: readonly string[]
  readonly filter: SimpleFilter
  /** Aborted when the user interrupts. */
  readonly signal: AbortSignal
}

/**
 * The filters of a load test. Disposing leaves every subscriber as it was found: what was stored is removed, what was
 * changed is put back. Where that fails it is said, and never thrown: it must not hide how the test itself went.
 */
export interface LoadFilters extends AsyncDisposable {
  /**
   * Gives every subscriber this one filter. One that has it already is left as it is, because every change is written into
   * every partition of the log. `onProgress` is told how many have it. Throws PulseError, or `Interrupted`; then some may
   * have theirs.
   */
  store(onProgress: (done: number) => void): Promise<void>
}

/** Sends nothing yet. */
export function createLoadFilters(needs: LoadFiltersNeeds): LoadFilters {
  /** What was changed, or may have been, with the filter that stood there before. */
  const changed = new Map<string, Filter | undefined>()
  return {
    store: async (onProgress) => {
      let done = 0
      await eachOf(needs.subscribers, async (subscriber) => {
        needs.signal.throwIfAborted()
        await storeOne(needs, subscriber, changed)
        onProgress(++done)
      })
    },
    [Symbol.asyncDispose]: () => takeBack(needs, changed),
  }
}

/** Does something for each, some at a time. After a failure no more are begun; throws it once none is under way. */
async function eachOf<Item>(items: Iterable<Item>, act: (item: Item) => Promise<void>): Promise<void> {
  const left = [...items].reverse()
  const work = async () => {
    for (let next = left.pop(); next !== undefined; next = left.pop())
      await act(next).catch((error: unknown) => {
        left.length = 0
        throw error
      })
  }
  const ends = await Promise.allSettled(Array.from({ length: inFlightMax }, work))
  for (const end of ends) if (end.status === 'rejected') throw end.reason
}

// An interruption does not give up what is under way: a filter that is stored all the same would be left behind.
async function storeOne(
  { client, filter }: LoadFiltersNeeds,
  subscriber: string,
  changed: Map<string, Filter | undefined>,
): Promise<void> {
  const before = await storedFor(client, subscriber)
  if (before && isSame(before, filter)) return
  // Known before it is asked for, because the answer may be lost: then it may be changed all the same, and what must be
  // taken back cannot be told from what was there any more.
  changed.set(subscriber, before)
  try {
    if (before) await client.filters.update(subscriber, name, filter)
    else await client.filters.create({ subscriber_id: subscriber, name, ...filter })
  } catch (error) {
    if (isRefusal(error)) changed.delete(subscriber)
    throw error
  }
}

async function storedFor(client: Client, subscriber: string): Promise<Filter | undefined> {
  try {
    return await client.filters.get(subscriber, name)
  } catch (error) {
    if (error instanceof PulseError && error.code === 'not_found') return undefined
    throw error
  }
}

/** Whether the server has said that it did not do it. Any other failure may come after the deed. */
function isRefusal(error: unknown): boolean {
  const status = error instanceof PulseError ? (error.status ?? 0) : 0
  return status >= 400 && status < 500
}

function isSame(stored: Filter, { event_types, user_tiers, min_amount }: SimpleFilter): boolean {
  const members = [stored.event_types, stored.user_tiers ?? null, stored.min_amount ?? null]
  return JSON.stringify(members) === JSON.stringify([event_types, user_tiers ?? null, min_amount ?? null])
}

async function takeBack(
  { client, terminal, signal }: LoadFiltersNeeds,
  changed: Map<string, Filter | undefined>,
): Promise<void> {
  if (changed.size === 0) return
  if (signal.aborted && !terminal.json)
    terminal.note(`Removing ${counted(changed.size, 'filter')}; a second Ctrl-C leaves them.`)
  const total = changed.size
  using progress = createProgress(terminal, { unit: 'filters removed', total })
  try {
    await eachOf([...changed], async ([subscriber, before]) => {
      await takeBackOne(client, subscriber, before)
      changed.delete(subscriber)
      progress.at(total - changed.size, total - changed.size)
    })
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error)
    const [what, next] = wayBack(changed)
    progress.stop()
    terminal.note(
      `${counted(changed.size, 'filter')} of this test could not be ${what}: ${why} Next: ${next}`,
    )
  }
}

/** What is left to be done by hand, and the command for one: a filter that was there before must not be deleted. */
function wayBack(changed: ReadonlyMap<string, Filter | undefined>): readonly [what: string, next: string] {
  const left = [...changed]
  const [subscriber = '', before] = left.find(([, before]) => before === undefined) ?? left[0] ?? []
  if (before === undefined) return ['removed', `pulse filters delete ${inQuotes(subscriber)}`]
  return ['put back', `pulse filters set ${inQuotes(subscriber)} ${inQuotes(before.expression)}`]
}

/** A word of a command line as a shell takes it. */
const inQuotes = (word: string) =>
  /^[\w.-]+$/.test(word) ? word : `'${printable(word).replaceAll("'", "'\\''")}'`

async function takeBackOne(client: Client, subscriber: string, before: Filter | undefined): Promise<void> {
  try {
    if (before === undefined) await client.filters.remove(subscriber, name)
    else await client.filters.update(subscriber, name, { expression: before.expression })
  } catch (error) {
    // Somebody else was faster.
    if (!(error instanceof PulseError) || error.code !== 'not_found') throw error
  }
}
