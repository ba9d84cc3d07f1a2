/** Splits one CSV record into its fields (RFC 4180); undefined if characters stand behind a closing quote. */
export function fieldsOf(record: string, delimiter: string): string[] | undefined {
  const fields: string[] = []
  let at = 0
  for (;;) {
    const field = record[at] === '"' ? quotedField(record, at) : plainField(record, at, delimiter)
    fields.push(field.text)
    if (field.end >= record.length) return fields
    if (record[field.end] !== delimiter) return undefined
    at = field.end + 1
  }
}

interface Field {
  readonly text: string
  /** Index of what follows the field. */
  readonly end: number
}

function plainField(record: string, from: number, delimiter: string): Field {
  const found = record.indexOf(delimiter, from)
  const end = found < 0 ? record.length : found
  return { text: record.slice(from, end), end }
}

function quotedField(record: string, from: number): Field {
  let text = ''
  let at = from + 1
  for (;;) {
    const found = record.indexOf('"', at)
    // The scanner reports records whose quotes never close; here the rest is taken as it is.
    if (found < 0) return { text: text + record.slice(at), end: record.length }
    text += record.slice(at, found)
    if (record[found + 1] !== '"') return { text, end: found + 1 }
    text += '"'
    at = found + 2
  }
}
