interface Node {
  readonly next: Map<number, Node>
  /** The words that end here: whether they may go on at either side. */
  readonly ends: Ending[]
}

interface Ending {
  readonly openBefore: boolean
  readonly openAfter: boolean
}

/** Where a word was found in a text. */
export interface WordHit extends Ending {
  readonly from: number
  readonly to: number
}

const createNode = (): Node => ({ next: new Map(), ends: [] })

/** Many words that are looked for at once: their number does not make it slower. */
export class WordTree {
  readonly #root = createNode()

  /** Adds a word; it is one or more letters long. */
  add(letters: string, ending: Ending): void {
    let node = this.#root
    for (let index = 0; index < letters.length; index += 1) {
      const code = letters.charCodeAt(index)
      const next = node.next.get(code) ?? createNode()
      node.next.set(code, next)
      node = next
    }
    node.ends.push(ending)
  }

  /** Whether a place in the text, where one of the words stands, is wanted. */
  some(text: string, isWanted: (hit: WordHit) => boolean): boolean {
    for (let from = 0; from < text.length; from += 1) {
      let node = this.#root.next.get(text.charCodeAt(from))
      for (let to = from + 1; node !== undefined; to += 1) {
        for (const end of node.ends) if (isWanted({ ...end, from, to })) return true
        node = to < text.length ? node.next.get(text.charCodeAt(to)) : undefined
      }
    }
    return false
  }
}
