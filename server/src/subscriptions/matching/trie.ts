import { HashTable } from './hash-table.ts'
import { type Entry, IntervalTrees } from './interval-trees.ts'
import { RecordPool } from './record-pool.ts'
import { hashEnd, hashStart } from './text-hash.ts'

// Fields of a node. 32 bytes: half a cache line, and the walk reads nothing else of a node.
const PARENT = 0
const TOKEN = 1
/** Bits of the fields whose tokens lead on. */
const BITS = 2
const CHILDREN = 3
/** The first run of the node: its field (or `unranged`), its set of intervals, and the next run. */
const FIELD = 4
const SET = 5
const MORE = 6

// Further runs: the same three.
const RUN_FIELD = 0
const RUN_SET = 1
const RUN_MORE = 2

/** Stands for the field of a run whose entries ask for no number. */
export const unranged = 0
const nothing = -1

/** The node from which every path begins. */
export const rootNode = 0

/**
 * Paths of tokens, shared where they begin alike, and at each node the entries of those who ask for no more tokens: one
 * set of intervals for each field whose number decides, and one for those without. All edges lie in one hash table.
 */
export class Trie {
  readonly #nodes = new RecordPool({ width: 8 })
  readonly #runs = new RecordPool({ width: 3 })
  readonly #edges = new HashTable()
  readonly #sets = new IntervalTrees()

  constructor() {
    this.#newNode(-1, -1)
  }

  get nodes(): number {
    return this.#nodes.size
  }

  get sets(): IntervalTrees {
    return this.#sets
  }

  /** Memory held, in bytes. */
  get bytes(): number {
    return this.#nodes.bytes + this.#runs.bytes + this.#edges.bytes + this.#sets.bytes
  }

  /** The node behind a token, or -1. */
  child(node: number, token: number): number {
    const nodes = this.#nodes
    const edges = this.#edges
    for (let child = edges.first(edgeHash(node, token)); child >= 0; child = edges.next()) {
      const chunk = nodes.chunks[child >>> nodes.shift] as Int32Array
      const at = (child & nodes.mask) * 8
      if (chunk[at + PARENT] === node && chunk[at + TOKEN] === token) return child
    }
    return -1
  }

  /** The node behind a token, made if need be; `bit` is that of the token's field. */
  makeChild(node: number, token: number, bit: number): number {
    const found = this.child(node, token)
    if (found >= 0) return found
    const child = this.#newNode(node, token)
    this.#edges.insert(edgeHash(node, token), child)
    this.#nodes.set(node, CHILDREN, this.#nodes.get(node, CHILDREN) + 1)
    this.#nodes.set(node, BITS, this.#nodes.get(node, BITS) | bit)
    return child
  }

  /** Bits of the fields whose tokens lead on from the node. */
  bits(node: number): number {
    return this.#nodes.get(node, BITS)
  }

  insert(node: number, field: number, entry: Entry): void {
    const nodes = this.#nodes
    const first = nodes.get(node, FIELD)
    if (first === field || first === nothing) {
      nodes.set(node, FIELD, field)
      nodes.set(node, SET, this.#sets.insert(nodes.get(node, SET), entry))
      return
    }
    let run = nodes.get(node, MORE)
    while (run >= 0 && this.#runs.get(run, RUN_FIELD) !== field) run = this.#runs.get(run, RUN_MORE)
    if (run < 0) {
      run = this.#runs.allocate()
      this.#runs.set(run, RUN_FIELD, field)
      this.#runs.set(run, RUN_SET, -1)
      this.#runs.set(run, RUN_MORE, nodes.get(node, MORE))
      nodes.set(node, MORE, run)
    }
    this.#runs.set(run, RUN_SET, this.#sets.insert(this.#runs.get(run, RUN_SET), entry))
  }

  /** Takes an entry out, and the node and those above it if nothing is left in them. */
  remove(node: number, field: number, entry: Entry): void {
    const nodes = this.#nodes
    if (nodes.get(node, FIELD) === field) {
      const set = this.#sets.remove(nodes.get(node, SET), entry)
      nodes.set(node, SET, set)
      if (set < 0) this.#pullUpRun(node)
    } else this.#removeFromRuns(node, field, entry)
    this.#prune(node)
  }

  #removeFromRuns(node: number, field: number, entry: Entry): void {
    const runs = this.#runs
    let before = -1
    let run = this.#nodes.get(node, MORE)
    while (run >= 0 && runs.get(run, RUN_FIELD) !== field) {
      before = run
      run = runs.get(run, RUN_MORE)
    }
    if (run < 0) throw new Error(`node ${node} has no entries of field ${field}`)
    const set = this.#sets.remove(runs.get(run, RUN_SET), entry)
    runs.set(run, RUN_SET, set)
    if (set >= 0) return
    const next = runs.get(run, RUN_MORE)
    if (before < 0) this.#nodes.set(node, MORE, next)
    else runs.set(before, RUN_MORE, next)
    runs.free(run)
  }

  /** The first run is empty: the next one takes its place. */
  #pullUpRun(node: number): void {
    const nodes = this.#nodes
    const run = nodes.get(node, MORE)
    if (run < 0) {
      nodes.set(node, FIELD, nothing)
      return
    }
    nodes.set(node, FIELD, this.#runs.get(run, RUN_FIELD))
    nodes.set(node, SET, this.#runs.get(run, RUN_SET))
    nodes.set(node, MORE, this.#runs.get(run, RUN_MORE))
    this.#runs.free(run)
  }

  #prune(from: number): void {
    const nodes = this.#nodes
    let node = from
    while (node !== rootNode && nodes.get(node, CHILDREN) === 0 && nodes.get(node, FIELD) === nothing) {
      const parent = nodes.get(node, PARENT)
      this.#edges.remove(edgeHash(parent, nodes.get(node, TOKEN)), node)
      nodes.free(node)
      const children = nodes.get(parent, CHILDREN) - 1
      nodes.set(parent, CHILDREN, children)
      // A bit that no child needs any more costs a few look-ups; only the last child is sure to take its bit along.
      if (children === 0) nodes.set(parent, BITS, 0)
      node = parent
    }
  }

  /** Field of the first run of the node; `unranged`, or -1 if the node has no entries. */
  field(node: number): number {
    return this.#nodes.get(node, FIELD)
  }

  /** Set of intervals of the first run. */
  set(node: number): number {
    return this.#nodes.get(node, SET)
  }

  /** The second run of the node, or -1. */
  more(node: number): number {
    return this.#nodes.get(node, MORE)
  }

  runField(run: number): number {
    return this.#runs.get(run, RUN_FIELD)
  }

  runSet(run: number): number {
    return this.#runs.get(run, RUN_SET)
  }

  /** The run after it, or -1. */
  runMore(run: number): number {
    return this.#runs.get(run, RUN_MORE)
  }

  #newNode(parent: number, token: number): number {
    const nodes = this.#nodes
    const node = nodes.allocate()
    nodes.set(node, PARENT, parent)
    nodes.set(node, TOKEN, token)
    nodes.set(node, BITS, 0)
    nodes.set(node, CHILDREN, 0)
    nodes.set(node, FIELD, nothing)
    nodes.set(node, SET, -1)
    nodes.set(node, MORE, -1)
    return node
  }
}

const edgeHash = (node: number, token: number): number =>
  hashEnd(Math.imul(node ^ hashStart, 0x27d4eb2f), token, 0)
