export interface InOrder<Item, Done> {
  readonly items: AsyncIterable<Item>
  /** Items under way at a time. */
  readonly inFlightMax: number
  readonly signal: AbortSignal
  /** Begins an item. */
  readonly begin: (item: Item) => Promise<Done>
  /** Told in the order of the items, so that what is noted as done has no hole. */
  readonly settled: (done: Done) => Promise<void>
}

/**
 * Works on items side by side and looks at the results in their order. After a failure no further item is begun, those
 * under way end without being looked at, and the failure is thrown; so is the signal's reason.
 */
export async function eachInOrder<Item, Done>(work: InOrder<Item, Done>): Promise<void> {
  const underWay: Promise<Done>[] = []
  async function settleFirst(): Promise<void> {
    const first = underWay.shift()
    if (first) await work.settled(await first)
  }
  try {
    for await (const item of work.items) {
      work.signal.throwIfAborted()
      while (underWay.length >= work.inFlightMax) await settleFirst()
      const begun = work.begin(item)
      // Looked at in order; one that fails before its turn must not end the process.
      begun.catch(() => {})
      underWay.push(begun)
    }
    while (underWay.length > 0) await settleFirst()
  } finally {
    await Promise.allSettled(underWay)
  }
}
