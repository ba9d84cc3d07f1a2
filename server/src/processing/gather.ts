import { setTimeout as delay } from 'node:timers/promises'
import type { LogBatch } from '@pulse/log'

/**
 * Joins batches that are there already into rounds of up to about so many records and characters, so that a round
 * costs one transaction whether its events came one by one or in thousands, and bounded memory. The first events after
 * a quiet moment go at once. Under a steady stream a round begins `paceMs` after the one before at the earliest, and
 * nothing is fetched in between: looking into the log after every append of others cost more than the work itself.
 */
export async function* gather(
  batches: AsyncIterable<LogBatch>,
  max: { readonly records: number; readonly chars: number; readonly paceMs: number },
): AsyncGenerator<readonly LogBatch[]> {
  const iterator = batches[Symbol.asyncIterator]()
  try {
    let asked: Promise<IteratorResult<LogBatch>> | undefined
    for (;;) {
      const first = await (asked ?? iterator.next())
      asked = undefined
      if (first.done) return
      const begunAt = performance.now()
      const round = [first.value]
      let last = first.value
      let room = { records: max.records - last.records.length, chars: max.chars - charsOf(last) }
      while (room.records > 0 && room.chars > 0 && !last.caughtUp) {
        asked = iterator.next()
        const more = await Promise.race([asked, endOfTurn()])
        if (more === undefined) break
        asked = undefined
        if (more.done) {
          yield round
          return
        }
        last = more.value
        round.push(last)
        room = { records: room.records - last.records.length, chars: room.chars - charsOf(last) }
      }
      if (!last.caughtUp) asked ??= iterator.next()
      // A failure of the read-ahead is met when its turn comes; until then it must not count as unhandled.
      asked?.catch(() => {})
      yield round
      const restMs = last.caughtUp ? begunAt + max.paceMs - performance.now() : 0
      if (restMs > 0) await delay(restMs)
    }
  } finally {
    await iterator.return?.()
  }
}

const endOfTurn = () => new Promise<undefined>((resolve) => setImmediate(() => resolve(undefined)))

const charsOf = (batch: LogBatch) => batch.records.reduce((sum, { value }) => sum + value.length, 0)
