/**
 * JSON with sorted keys and no white space, so that two spellings of one value give one text (the key order
 * and number form of RFC 8785). Fingerprints of events are taken from it.
 */
export function canonicalJson(value: unknown): string {
  if (typeof value !== 'object' || value === null) return JSON.stringify(value)
  if (Array.isArray(value)) {
    if (value.length === 0) return '[]'
    let text = `[${canonicalJson(value[0])}`
    for (let i = 1; i < value.length; i++) text += `,${canonicalJson(value[i])}`
    return `${text}]`
  }
  const object = value as Record<string, unknown>
  const keys = sortedKeys(object)
  let text = '{'
  for (let i = 0; i < keys.length; i++) {
    const key = keys[i] as string
    text += `${i === 0 ? '' : ','}${JSON.stringify(key)}:${canonicalJson(object[key])}`
  }
  return `${text}}`
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
