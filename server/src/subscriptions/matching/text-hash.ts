import { randomInt } from 'node:crypto'

/** Where every text begins. A secret of this process, so that nobody can choose texts that share a slot. */
const begin = randomInt(1, 2 ** 31)

/** FNV-1a over UTF-16 units: the state after a text is also the one after that prefix of a longer text. */
export const hashStart = begin
export const hashStep = (state: number, unit: number): number => Math.imul(state ^ unit, 0x01000193)

/** Ends it: spreads the state over all bits, different for every owner and length. */
export function hashEnd(state: number, owner: number, length: number): number {
  let hash = state ^ Math.imul(owner, 0x9e3779b1) ^ Math.imul(length, 0x85ebca77)
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
  return hash ^ (hash >>> 16)
}

/** The state after a whole text. */
export function hashText(text: string): number {
  let state = hashStart
  for (let i = 0; i < text.length; i++) state = hashStep(state, text.charCodeAt(i))
  return state
}

/** The state after a text that is read from its end. */
export function hashBackwards(text: string): number {
  let state = hashStart
  for (let i = text.length - 1; i >= 0; i--) state = hashStep(state, text.charCodeAt(i))
  return state
}

const double = new Float64Array(1)
const halves = new Int32Array(double.buffer)

/** The state of a number; of both zeros the same. */
export function hashNumber(value: number): number {
  double[0] = value + 0
  return hashStep(hashStep(hashStart, halves[0] as number), halves[1] as number)
}
