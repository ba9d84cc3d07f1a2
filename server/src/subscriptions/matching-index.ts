import type { Event } from '@pulse/protocol/event'
import { matches } from './matches.ts'
import { Classes } from './matching/classes.ts'
import type { Compiled, TokenSet } from './matching/compiled.ts'
import { Compiler } from './matching/compiler.ts'
import type { Field } from './matching/field.ts'
import { Fields } from './matching/fields.ts'
import { Identity } from './matching/identity.ts'
import { ObjectPool } from './matching/object-pool.ts'
import { choose, type Plan, plainChoice, planOf } from './matching/plan.ts'
import { RecordPool } from './matching/record-pool.ts'
import { Residuals } from './matching/residuals.ts'
import { fieldOf, isWholeValue, kindOf, Tokens } from './matching/tokens.ts'
import { rootNode, Trie, unranged } from './matching/trie.ts'
import type { Tree } from './tree.ts'

/**
 * Finds which of many filters an event matches, in time that follows the matches rather than the filters. It says
 * exactly what `matches` says of each filter.
 *
 * A filter becomes clauses of which one must hold. A clause is found by its tokens ("text `gold` of properties.tier"), which
 * form a path of a trie, and by the interval of one number at its end; what else it asks is tried on those found.
 * Equal filters are one class with many handles. Nothing is an object per filter: all lies in typed arrays that
 * grow by chunks, so that no call pauses the process and the collector has nothing to do.
 */
export interface MatchingIndex {
  /** Handles stored. */
  readonly size: number
  /**
   * Stores a tree under a handle: a whole number from 0 that the caller chooses, dense, below 2^27, in use once. Throws FilterError
   * `filter_too_wide`, and an Error for a handle in use.
   */
  add(handle: number, tree: Tree): void
  /** Takes it away; the tree must equal the one that was added. Throws an Error for a handle or tree that is not there. */
  remove(handle: number, tree: Tree): void
  /** Finds the handles of all trees that match, each once, in no order: they stand in `found` from 0; returns how many. */
  match(event: Event): number
  /** Results of the last `match`. Another array after one that found more than ever. */
  readonly found: Int32Array
  readonly sizes: IndexSizes
}

/** What the index holds, for metrics and tests. */
export interface IndexSizes {
  /** Distinct filters. */
  readonly classes: number
  /** Distinct values that filters name. */
  readonly tokens: number
  readonly fields: number
  readonly nodes: number
  /** Blocks of entries, clauses with conditions, and their conditions. */
  readonly blocks: number
  readonly clauses: number
  readonly conditions: number
  /** Trees that are kept because events with arrays of objects may have to ask them. */
  readonly trees: number
  /** Memory of all tables, without texts and trees. */
  readonly bytes: number
}

/**
 * An empty index. After `eventsPerRound` events all marks of events are wiped, so that their numbers can begin anew; the
 * default is as many as an int32 can tell apart.
 */
export function createMatchingIndex(of: { eventsPerRound?: number } = {}): MatchingIndex {
  return new TrieIndex(of.eventsPerRound ?? 2 ** 31 - 1)
}

// Fields of a clause that has conditions.
const CLASS = 0
const CONDITIONS = 1
/** The choice of its plan, and above it which of the class's clauses it is. */
const CHOICE = 2
const NEXT = 3
const choiceBits = 22

// An entry of the trie is a class, or with the first of these bits a clause that has conditions. The second one says that its
// interval was made of several; the third one, that one event may come to the class in more than one way. With the fourth one
// it is the handle itself, as long as that is the only one of its class: most are, and to ask the class for it would
// be one more place of memory for every match, which in a large index is in no cache.
const clauseBit = 1 << 30
const mergedBit = 1 << 29
const repeatBit = 1 << 28
const handleBit = 1 << 27
const idMask = handleBit - 1

class TrieIndex implements MatchingIndex {
  readonly #tokens = new Tokens()
  readonly #fields = new Fields(this.#tokens)
  readonly #compiler = new Compiler({ tokens: this.#tokens, fields: this.#fields })
  readonly #identity = new Identity()
  readonly #classes = new Classes()
  readonly #clauses = new RecordPool({ width: 4 })
  readonly #residuals = new Residuals({ tokens: this.#tokens, fields: this.#fields })
  readonly #trie = new Trie()
  /** By class. */
  readonly #trees = new ObjectPool<Tree>()
  #found = new Int32Array(64)
  #count = 0
  /** Number of the present event. What an event has is marked with it, so that nothing needs to be wiped between two. */
  #stamp = 0
  readonly #stampMax: number

  constructor(stampMax: number) {
    this.#stampMax = stampMax
  }

  get size(): number {
    return this.#classes.handles
  }

  get found(): Int32Array {
    return this.#found
  }

  get sizes(): IndexSizes {
    const parts = [this.#tokens, this.#classes, this.#clauses, this.#residuals, this.#trie]
    return {
      classes: this.#classes.size,
      tokens: this.#tokens.size,
      fields: this.#fields.size,
      nodes: this.#trie.nodes,
      blocks: this.#trie.sets.size,
      clauses: this.#clauses.size,
      conditions: this.#residuals.size,
      trees: this.#trees.size,
      bytes: parts.reduce((sum, { bytes }) => sum + bytes, this.#found.byteLength),
    }
  }

  add(handle: number, tree: Tree): void {
    if (handle > idMask) throw new Error(`handle ${handle} is beyond ${idMask}`)
    if (this.#classes.isUsed(handle)) throw new Error(`handle ${handle} is in use`)
    const compiled = this.#compiler.compile(tree, { make: true })
    if (!compiled) throw new Error('tokens were not made')
    const hash = this.#identity.of(compiled, tree)
    const known = this.#classes.find(hash)
    if (known < 0) {
      this.#addClass(hash, { compiled, tree, handle })
      return
    }
    const only = this.#classes.onlyHandle(known)
    this.#classes.addHandle(known, handle)
    if (only >= 0) this.#rewrite(known, { compiled, from: only | handleBit, to: known })
  }

  remove(handle: number, tree: Tree): void {
    const compiled = this.#compiler.compile(tree, { make: false })
    const hash = compiled && this.#identity.of(compiled, tree)
    const id = hash ? this.#classes.find(hash) : -1
    if (!compiled || !hash || id < 0) throw new Error(`handle ${handle} does not have this filter`)
    this.#classes.removeHandle(id, handle)
    const count = this.#classes.countOf(id)
    if (count === 0) this.#removeClass(id, { hash, compiled, handle })
    else if (count === 1)
      this.#rewrite(id, { compiled, from: id, to: this.#classes.onlyHandle(id) | handleBit })
  }

  match(event: Event): number {
    if (this.#stamp === this.#stampMax) this.#clearStamps()
    this.#stamp++
    this.#count = 0
    this.#fields.read(event, this.#stamp)
    this.#walk(rootNode, 0, event)
    this.#take(this.#trie.sets.collect(), event)
    return this.#count
  }

  #addClass(hash: Int32Array, of: { compiled: Compiled; tree: Tree; handle: number }): void {
    const { compiled, tree, handle } = of
    for (const token of compiled.tokens) this.#tokens.retain(token)
    for (const field of compiled.ranged) {
      field.references++
      field.ranges++
    }
    const id = this.#classes.add(hash)
    this.#classes.addHandle(id, handle)
    if (compiled.asks) this.#trees.set(id, tree)
    let last = -1
    for (const [index, clause] of compiled.clauses.entries()) {
      const plan = choose(clause)
      let ref = this.#meetsOnce(compiled, plan) ? handle | handleBit : id | repeatBit
      if (plan.conditions.length > 0) {
        const record = this.#addClause({ id, index, plan })
        if (last < 0) this.#classes.setClauses(id, record)
        else this.#clauses.set(last, NEXT, record)
        last = record
        ref = refOf(record, plan)
      }
      this.#insert(rootNode, 0, { plan, ref })
    }
  }

  /** Whether an event without lists can come to the class of a clause without conditions in one way only. */
  #meetsOnce({ clauses }: Compiled, { path }: Plan): boolean {
    return clauses.length === 1 && path.every(({ tokens }) => this.#areExclusive(tokens))
  }

  /** The class has come to have one handle, or several: its entries, if they may be the handle, are written anew. */
  #rewrite(id: number, { compiled, from, to }: { compiled: Compiled; from: number; to: number }): void {
    const [clause] = compiled.clauses
    if (!clause || this.#classes.clausesOf(id) >= 0) return
    const plan = planOf(clause, plainChoice(clause))
    if (!this.#meetsOnce(compiled, plan)) return
    // In this order, so that no node falls empty in between.
    this.#insert(rootNode, 0, { plan, ref: to })
    this.#withdraw(rootNode, 0, { plan, ref: from })
  }

  /** Whether a value can have only one of the tokens. */
  #areExclusive(tokens: readonly number[]): boolean {
    return tokens.length === 1 || tokens.every((token) => isWholeValue(kindOf(this.#tokens.owner(token))))
  }

  #addClause({ id, index, plan }: { id: number; index: number; plan: Plan }): number {
    const record = this.#clauses.allocate()
    this.#clauses.set(record, CLASS, id)
    this.#clauses.set(record, CONDITIONS, this.#residuals.add(plan.conditions))
    this.#clauses.set(record, CHOICE, plan.choice | (index << choiceBits))
    this.#clauses.set(record, NEXT, -1)
    return record
  }

  /** Puts the entry at the end of every path of the plan. */
  #insert(node: number, depth: number, of: { plan: Plan; ref: number }): void {
    const set = of.plan.path[depth]
    if (set)
      for (const token of set.tokens)
        this.#insert(this.#trie.makeChild(node, token, set.field.bit), depth + 1, of)
    else this.#trie.insert(node, of.plan.range?.field.id ?? unranged, entryOf(of))
  }

  #removeClass(id: number, of: { hash: Int32Array; compiled: Compiled; handle: number }): void {
    const { hash, compiled, handle } = of
    let record = this.#classes.clausesOf(id)
    for (const [index, clause] of compiled.clauses.entries()) {
      const choice = record < 0 ? -1 : this.#clauses.get(record, CHOICE)
      if (choice >>> choiceBits !== index) {
        const plan = planOf(clause, plainChoice(clause))
        const ref = this.#meetsOnce(compiled, plan) ? handle | handleBit : id | repeatBit
        this.#withdraw(rootNode, 0, { plan, ref })
        continue
      }
      const plan = planOf(clause, choice & ((1 << choiceBits) - 1))
      this.#withdraw(rootNode, 0, { plan, ref: refOf(record, plan) })
      this.#residuals.free(this.#clauses.get(record, CONDITIONS))
      const next = this.#clauses.get(record, NEXT)
      this.#clauses.free(record)
      record = next
    }
    this.#classes.remove(id, hash)
    this.#trees.clear(id)
    this.#release(compiled)
  }

  /** Withdraws the entry from the end of every path of the plan. */
  #withdraw(node: number, depth: number, of: { plan: Plan; ref: number }): void {
    const set: TokenSet | undefined = of.plan.path[depth]
    if (set) for (const token of set.tokens) this.#withdraw(this.#trie.child(node, token), depth + 1, of)
    else this.#trie.remove(node, of.plan.range?.field.id ?? unranged, entryOf(of))
  }

  #release({ tokens, ranged }: Compiled): void {
    const fields = new Set<Field>(ranged)
    for (const field of ranged) {
      field.references--
      field.ranges--
    }
    for (const token of tokens) {
      if (!this.#tokens.release(token)) continue
      const id = fieldOf(this.#tokens.owner(token))
      if (id > 0) fields.add(this.#fields.byId(id))
      this.#fields.unregister(token)
      this.#tokens.remove(token)
    }
    for (const field of fields) this.#fields.forget(field)
  }

  /** Looks at a node that the event's tokens lead to, and follows those that lead on; `from` is the first field that may. */
  #walk(node: number, from: number, event: Event): void {
    const trie = this.#trie
    const field = trie.field(node)
    if (field >= 0) {
      this.#lookAt(field, trie.set(node), event)
      for (let run = trie.more(node); run >= 0; run = trie.runMore(run))
        this.#lookAt(trie.runField(run), trie.runSet(run), event)
    }
    const bits = trie.bits(node)
    if (bits === 0) return
    const { present, presentCount } = this.#fields
    for (let i = from; i < presentCount; i++) {
      const next = present[i] as Field
      if ((bits & next.bit) === 0) continue
      for (let t = 0; t < next.tokenCount; t++) {
        const child = trie.child(node, next.tokens[t] as number)
        // Also a second token of the same field may lead on.
        if (child >= 0) this.#walk(child, i, event)
      }
    }
  }

  /** Asks for what the intervals of one run find. */
  #lookAt(fieldId: number, set: number, event: Event): void {
    const sets = this.#trie.sets
    if (fieldId === unranged) {
      sets.ask(set, 0, 0)
      return
    }
    const field = this.#fields.byId(fieldId)
    if (field.stamp !== this.#stamp || field.numberCount === 0) return
    const number = field.numbers[0] as number
    if (field.numberCount === 1) sets.ask(set, number, number)
    else this.#take(this.#collectMany(set, field), event)
  }

  /** Reports the entries that were found. */
  #take(count: number, event: Event): void {
    this.#makeRoom(this.#count + count)
    const refs = this.#trie.sets.found
    const { hasLists } = this.#fields
    for (let i = 0; i < count; i++) {
      const ref = refs[i] as number
      const id = ref & idMask
      if ((ref & handleBit) !== 0) {
        if (hasLists && !this.#classes.mark(this.#classes.classOf(id), this.#stamp)) continue
        this.#found[this.#count++] = id
      } else if ((ref & clauseBit) !== 0) this.#tryClause(id, event)
      else if (((ref & repeatBit) === 0 && !hasLists) || this.#classes.mark(id, this.#stamp)) this.#report(id)
    }
  }

  /** The event has several numbers there: one of them must lie in the interval, or, of a merged one, look so. */
  #collectMany(set: number, field: Field): number {
    let [low, high] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]
    for (let i = 0; i < field.numberCount; i++) {
      low = Math.min(low, field.numbers[i] as number)
      high = Math.max(high, field.numbers[i] as number)
    }
    return this.#trie.sets.collectAccepted(set, {
      ...{ low, high },
      accept: (entry) => (entry.ref & mergedBit) !== 0 || field.hasNumberIn(entry.low, entry.high),
    })
  }

  /** The clause of an entry was found by its tokens and its interval; its conditions are left to be tried. */
  #tryClause(record: number, event: Event): void {
    const id = this.#clauses.get(record, CLASS)
    if (this.#classes.isMarked(id, this.#stamp)) return
    const verdict = this.#residuals.try(this.#clauses.get(record, CONDITIONS), event, this.#stamp)
    if (verdict === 'no') return
    this.#classes.mark(id, this.#stamp)
    // Whatever the tree says, it is the answer of the whole filter: its other clauses are not asked.
    if (verdict === 'yes' || matches(this.#trees.get(id) as Tree, event)) this.#report(id)
  }

  #report(id: number): void {
    const handle = this.#classes.onlyHandle(id)
    const end = this.#count + (handle < 0 ? this.#classes.countOf(id) : 1)
    this.#makeRoom(end)
    if (handle < 0) this.#classes.copyHandles(id, this.#found, this.#count)
    else this.#found[this.#count] = handle
    this.#count = end
  }

  #makeRoom(atLeast: number): void {
    if (atLeast <= this.#found.length) return
    const longer = new Int32Array(Math.max(atLeast, 2 * this.#found.length))
    longer.set(this.#found)
    this.#found = longer
  }

  #clearStamps(): void {
    this.#tokens.clearStamps()
    this.#classes.clearStamps()
    this.#fields.clearStamps()
    this.#stamp = 0
  }
}

const refOf = (record: number, plan: Plan): number => record | clauseBit | (plan.merged ? mergedBit : 0)

function entryOf({ plan: { range }, ref }: { plan: Plan; ref: number }) {
  const { low, high } = range ?? { low: Number.NEGATIVE_INFINITY, high: Number.POSITIVE_INFINITY }
  return { low, high, ref }
}
