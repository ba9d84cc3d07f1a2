import type { LogBatch } from '@pulse/log'

/**
 * Joins batches that are there already into rounds of up to about so many records and characters, so that a round
 * costs one transaction whether its events came one by one or in thousands, and bounded memory. It never waits for a round to fill: what has come
 * by the end of the current turn of the event loop goes.
 */
export async function* gather(
  batches: AsyncIterable<LogBatch>,
  max: { readonly records: number; readonly chars: number },
): AsyncGenerator<readonly LogBatch[]> {
  const iterator = batches[Symbol.asyncIterator]()
  try {
    let next = iterator.next()
    for (;;) {
      const first = await next
      if (first.done) return
      const round = [first.value]
      let room = {
        records: max.records - first.value.records.length,
        chars: max.chars - charsOf(first.value),
      }
      next = iterator.next()
      while (room.records > 0 && room.chars > 0) {
        const more = await Promise.race([next, endOfTurn()])
        if (more === undefined) break
        if (more.done) {
          yield round
          return
        }
        round.push(more.value)
        room = { records: room.records - more.value.records.length, chars: room.chars - charsOf(more.value) }
        next = iterator.next()
      }
      // A failure of the read-ahead is met when its turn comes; until then it must not count as unhandled.
      next.catch(() => {})
      yield round
    }
  } finally {
    await iterator.return?.()
  }
}

const endOfTurn = () => new Promise<undefined>((resolve) => setImmediate(() => resolve(undefined)))

const charsOf = (batch: LogBatch) => batch.records.reduce((sum, { value }) => sum + value.length, 0)
