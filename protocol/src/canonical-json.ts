/**
 * JSON with sorted keys and no white space, so that two spellings of one value give one text (the key order
 * and number form of RFC 8785). Fingerprints of events are taken from it. The value is what JSON.parse returns.
 *
 * JSON.stringify writes an object's keys in the order in which they were added, in native code and as one flat string;
 * so a value whose keys are in order is given to it as it is, and of another one a sorted copy.
 */
export function canonicalJson(value: unknown): string {
  const ordered = inOrder(value)
  return ordered === undefined ? written(value) : JSON.stringify(ordered)
}

const digits = { first: 0x30, last: 0x39 } as const

/**
 * The value with the keys of every object in order; itself if they are already. Undefined if no object can be: a
 * key that is a number comes first in every object, and `__proto__` is no key like others.
 */
function inOrder(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value
  if (Array.isArray(value)) return elementsInOrder(value)
  const object = value as Record<string, unknown>
  let before = ''
  let sorted = true
  let deep = false
  for (const key in object) {
    const first = key.charCodeAt(0)
    if ((first >= digits.first && first <= digits.last) || key === '__proto__') return undefined
    if (key < before) sorted = false
    before = key
    const each = object[key]
    if (typeof each === 'object' && each !== null) deep = true
  }
  return sorted && !deep ? value : sortedCopy(object)
}

function elementsInOrder(elements: readonly unknown[]): unknown {
  let copy: unknown[] | undefined
  for (let i = 0; i < elements.length; i++) {
    const each = inOrder(elements[i])
    if (each === undefined) return undefined
    if (each === elements[i]) continue
    copy ??= elements.slice()
    copy[i] = each
  }
  return copy ?? elements
}

function sortedCopy(object: Record<string, unknown>): Record<string, unknown> | undefined {
  const copy: Record<string, unknown> = {}
  for (const key of sortedKeys(object)) {
    const each = inOrder(object[key])
    if (each === undefined) return undefined
    copy[key] = each
  }
  return copy
}

/** The same text put together by hand, for objects whose keys no copy can have in order. */
function written(value: unknown): string {
  if (typeof value !== 'object' || value === null) return JSON.stringify(value)
  if (Array.isArray(value)) return `[${value.map(written).join(',')}]`
  const object = value as Record<string, unknown>
  return `{${sortedKeys(object)
    .map((key) => `${JSON.stringify(key)}:${written(object[key])}`)
    .join(',')}}`
}

// RFC 8785 sorts by UTF-16 code units, which is what `<` compares. Insertion sort: events have few keys,
// often already in order, and Array.prototype.sort costs more than the whole walk at that size.
function sortedKeys(object: Record<string, unknown>): string[] {
  const keys = Object.keys(object)
  if (keys.length > 16) return keys.sort()
  for (let i = 1; i < keys.length; i++) {
    const key = keys[i] as string
    let at = i - 1
    while (at >= 0 && (keys[at] as string) > key) {
      keys[at + 1] = keys[at] as string
      at--
    }
    keys[at + 1] = key
  }
  return keys
}
