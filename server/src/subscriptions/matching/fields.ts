import type { Event } from '@pulse/protocol/event'
import { readAddress } from '../addresses.ts'
import { foldCase } from '../fold-case.ts'
import type { Path } from '../tree.ts'
import { Field, type TextForms } from './field.ts'
import { LengthCounts } from './length-counts.ts'
import { hashStart, hashStep } from './text-hash.ts'
import { constants, fieldOf, kindOf, ownerOf, type TokenKind, type Tokens, tokenKinds } from './tokens.ts'

/** Names that some filter's path goes through. */
interface Step {
  readonly name: string
  /** Every object seems to have a member of this name (`constructor`), so it must be asked whether it is its own. */
  readonly inherited: boolean
  field: Field | undefined
  /** The names below; the last one on a path has none. */
  steps: Step[] | undefined
  byName: Map<string, Step> | undefined
}

// From here on an object's own names are looked up, instead of every name that filters know.
const stepsTriedMax = 24

/** The paths that filters ask about, and what an event has there. Only these members of an event are looked at. */
export class Fields {
  readonly #tokens: Tokens
  readonly #root = newStep('')
  /** By id. */
  readonly #fields: (Field | undefined)[] = [undefined]
  readonly #free: number[] = []
  #size = 0
  #stamp = 0
  /** Fields of the present event that have a token, in the order of their ids from 0. */
  readonly present: Field[] = []
  presentCount = 0
  /** Whether a path met a list in the present event, so that one field may have several values. */
  hasLists = false

  constructor(tokens: Tokens) {
    this.#tokens = tokens
  }

  get size(): number {
    return this.#size
  }

  byId(id: number): Field {
    return this.#fields[id] as Field
  }

  find(path: Path): Field | undefined {
    let step: Step | undefined = this.#root
    for (const name of path) {
      step = step.byName?.get(name)
      if (step === undefined) return undefined
    }
    return step.field
  }

  /** The field of a path, made if need be. One to which nothing comes to refer must be given to `forget`. */
  make(path: Path): Field {
    let step = this.#root
    for (const name of path) {
      step = step.byName?.get(name) ?? addStep(step, name)
    }
    if (step.field) return step.field
    const id = this.#free.pop() ?? this.#fields.length
    const field = new Field(id, [...path])
    step.field = field
    this.#fields[id] = field
    this.#size++
    return field
  }

  /** Takes a field away that nothing refers to any more. */
  forget(field: Field): void {
    if (field.references > 0 || this.#fields[field.id] !== field) return
    this.#fields[field.id] = undefined
    this.#free.push(field.id)
    this.#size--
    const way = [this.#root]
    for (const name of field.path) way.push((way.at(-1) as Step).byName?.get(name) as Step)
    ;(way.at(-1) as Step).field = undefined
    for (let depth = field.path.length; depth > 0; depth--) {
      const step = way[depth] as Step
      if (step.field || step.steps) return
      removeStep(way[depth - 1] as Step, step)
    }
  }

  /** A token of a field has come to be. */
  register(token: number): void {
    this.#count(token, 1)
  }

  /** It is about to go. */
  unregister(token: number): void {
    this.#count(token, -1)
  }

  #count(token: number, by: 1 | -1): void {
    const owner = this.#tokens.owner(token)
    const kind = kindOf(owner)
    if (kind === tokenKinds.question) return
    const field = this.byId(fieldOf(owner))
    field.references += by
    field.tokensKnown += by
    if (kind === tokenKinds.number) field.numbersKnown += by
    else if (kind === tokenKinds.constant) {
      field.constants ??= new Int32Array(4).fill(-1)
      field.constants[this.#tokens.numberOf(token)] = by > 0 ? token : -1
    } else {
      const text = this.#tokens.textOf(token)
      const length = kind === tokenKinds.block ? bitsOfKey(text) : text.length
      const lengths = lengthsOf(field, kind)
      if (by > 0) lengths.add(length)
      else lengths.remove(length)
    }
  }

  /** Forgets all stamps, before they begin anew. */
  clearStamps(): void {
    for (const field of this.#fields) field?.begin(0)
  }

  /** Reads an event: marks its tokens with the stamp and fills the fields. */
  read(event: Event, stamp: number): void {
    this.#stamp = stamp
    this.presentCount = 0
    this.hasLists = false
    this.#readObject(this.#root, event as object as Record<string, unknown>)
    this.#sortPresent()
  }

  #readObject(step: Step, object: Record<string, unknown>): void {
    const { steps, byName } = step
    if (!steps || !byName) return
    if (steps.length > stepsTriedMax) {
      for (const name of Object.keys(object)) {
        const next = byName.get(name)
        if (next) this.#readValue(next, object[name])
      }
      return
    }
    for (let i = 0; i < steps.length; i++) {
      const next = steps[i] as Step
      const value = object[next.name]
      if (value !== undefined && (!next.inherited || Object.hasOwn(object, next.name)))
        this.#readValue(next, value)
    }
  }

  #readValue(step: Step, value: unknown): void {
    if (typeof value !== 'object' || value === null) {
      if (step.field) this.#readScalar(step.field, value)
    } else if (Array.isArray(value)) {
      this.hasLists = true
      for (let i = 0; i < value.length; i++) this.#readValue(step, value[i])
    } else if (step.steps) this.#readObject(step, value as Record<string, unknown>)
  }

  #readScalar(field: Field, value: unknown): void {
    if (field.stamp !== this.#stamp) field.begin(this.#stamp)
    if (typeof value === 'string') this.#readText(field, value)
    else if (typeof value === 'number') this.#readNumber(field, value)
    if (!field.constants) return
    if (value === null) this.#note(field, field.constants[constants.null] as number)
    else if (value === true) this.#note(field, field.constants[constants.true] as number)
    else if (value === false) this.#note(field, field.constants[constants.false] as number)
    this.#note(field, field.constants[constants.exists] as number)
  }

  #readNumber(field: Field, number: number): void {
    if (field.ranges > 0) field.addNumber(number)
    if (field.numbersKnown > 0)
      this.#note(field, this.#tokens.findNumber(ownerOf(field.id, tokenKinds.number), number))
  }

  #readText(field: Field, text: string): void {
    if (field.plain) this.#readForms(field, field.plain, { text, shift: 0 })
    if (field.folded) this.#readForms(field, field.folded, { text: foldCase(text), shift: foldedShift })
    if (field.blocks) this.#readAddress(field, text, field.blocks)
  }

  /** Looks a text up as a whole and at every length of prefix or suffix that filters name, hashing it once. */
  #readForms(field: Field, forms: TextForms, { text, shift }: { text: string; shift: number }): void {
    const lengths = forms.prefix?.lengths ?? noLengths
    const whole = forms.whole !== undefined && text.length <= forms.whole.longest
    const end = whole ? text.length : Math.min(text.length, forms.prefix?.longest ?? -1)
    let state = hashStart
    let nextPrefix = 0
    const prefixOwner = ownerOf(field.id, (tokenKinds.prefix + shift) as TokenKind)
    for (let at = 0; at <= end; at++) {
      if (lengths[nextPrefix] === at) {
        nextPrefix++
        this.#note(field, this.#tokens.findText(prefixOwner, state, text, at))
      }
      if (at < end) state = hashStep(state, text.charCodeAt(at))
    }
    if (whole) {
      const owner = ownerOf(field.id, (tokenKinds.text + shift) as TokenKind)
      this.#note(field, this.#tokens.findText(owner, state, text, text.length))
    }
    if (forms.suffix) this.#readSuffixes(field, forms.suffix, { text, shift })
  }

  #readSuffixes(
    field: Field,
    { lengths }: LengthCounts,
    { text, shift }: { text: string; shift: number },
  ): void {
    const owner = ownerOf(field.id, (tokenKinds.suffix + shift) as TokenKind)
    let state = hashStart
    let hashed = 0
    for (const length of lengths) {
      if (length > text.length) return
      for (; hashed < length; hashed++) state = hashStep(state, text.charCodeAt(text.length - 1 - hashed))
      this.#note(field, this.#tokens.findText(owner, state, text, length))
    }
  }

  #readAddress(field: Field, text: string, { lengths }: LengthCounts): void {
    const address = readAddress(text)
    if (!address) return
    const owner = ownerOf(field.id, tokenKinds.block)
    for (const length of lengths) {
      if (length >= v6 !== (address.length === 16)) continue
      this.#note(field, this.#tokens.find(owner, blockKey(address, length % v6)))
    }
  }

  #note(field: Field, token: number): void {
    if (token < 0 || !this.#tokens.mark(token, this.#stamp)) return
    if (field.tokenCount === 0) this.present[this.presentCount++] = field
    field.addToken(token)
  }

  #sortPresent(): void {
    const { present, presentCount } = this
    if (presentCount > 32) {
      // Only events with more fields than filters usually name: there the engine's own sort is the faster one.
      const sorted = present.slice(0, presentCount).sort((one, other) => one.id - other.id)
      for (let i = 0; i < presentCount; i++) present[i] = sorted[i] as Field
      return
    }
    for (let i = 1; i < presentCount; i++) {
      const field = present[i] as Field
      let at = i
      for (; at > 0 && (present[at - 1] as Field).id > field.id; at--) present[at] = present[at - 1] as Field
      present[at] = field
    }
  }
}

const foldedShift = tokenKinds.foldedText - tokenKinds.text
const v6 = 1_000

const noLengths: readonly number[] = []

function newStep(name: string): Step {
  return { name, inherited: name in Object.prototype, field: undefined, steps: undefined, byName: undefined }
}

function addStep(above: Step, name: string): Step {
  const step = newStep(name)
  above.steps ??= []
  above.byName ??= new Map()
  above.steps.push(step)
  above.byName.set(name, step)
  return step
}

function removeStep(above: Step, step: Step): void {
  const { steps = [], byName } = above
  const last = steps.pop()
  if (last && last !== step) steps[steps.indexOf(step)] = last
  byName?.delete(step.name)
  if (steps.length > 0) return
  above.steps = undefined
  above.byName = undefined
}

/** The counts for a kind of text or block, made if need be. */
function lengthsOf(field: Field, kind: TokenKind): LengthCounts {
  if (kind === tokenKinds.block) {
    field.blocks ??= new LengthCounts()
    return field.blocks
  }
  const isFolded = kind >= tokenKinds.foldedText
  const forms = (isFolded ? field.folded : field.plain) ?? {
    whole: undefined,
    prefix: undefined,
    suffix: undefined,
  }
  if (isFolded) field.folded = forms
  else field.plain = forms
  const form = formNames[kind - (isFolded ? tokenKinds.foldedText : tokenKinds.text)] as keyof TextForms
  const lengths = forms[form] ?? new LengthCounts()
  forms[form] = lengths
  return lengths
}

const formNames: readonly (keyof TextForms)[] = ['whole', 'prefix', 'suffix']

/** What the addresses of one block have in common: the number of bits, and these bits as characters. */
export function blockKey(address: Uint8Array, bits: number): string {
  const bytes = Math.ceil(bits / 8)
  let key = String.fromCharCode(bits + (address.length === 16 ? v6 : 0))
  for (let i = 0; i < bytes; i++) {
    const kept = Math.min(8, bits - 8 * i)
    key += String.fromCharCode((address[i] as number) & (0xff << (8 - kept)) & 0xff)
  }
  return key
}

const bitsOfKey = (key: string): number => key.charCodeAt(0)
