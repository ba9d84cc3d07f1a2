/**
 * Where records end, byte by byte, so that a file of any size is read in a small, fixed memory. Every byte that
 * matters here is ASCII and cannot be part of a longer UTF-8 character.
 * - lines: a record is a line (NDJSON)
 * - csv: a record is a line, except that line breaks inside quotes belong to it (RFC 4180)
 * - array: a record is an element of one JSON array
 */
export interface RecordScanner {
  /** Index just behind the record's end in `chunk`, searched from `from`; -1 if it does not end there. */
  find(chunk: Buffer, from: number): number
  /** What is wrong with a file that ends here, or undefined if it may. */
  unfinished(): string | undefined
}

const newline = 0x0a
const carriageReturn = 0x0d
const quote = 0x22
const backslash = 0x5c
const comma = 0x2c

/** A record per line. */
export function scanLines(): RecordScanner {
  return { find: (chunk, from) => chunk.indexOf(newline, from) + 1 || -1, unfinished: () => undefined }
}

/** A record per line of CSV. `delimiter` is one ASCII character. */
export function scanCsv(delimiter: string): RecordScanner {
  const separator = delimiter.charCodeAt(0)
  let state: 'start' | 'plain' | 'quoted' | 'closing' = 'start'
  return {
    find(chunk, from) {
      for (let at = from; at < chunk.length; at++) {
        const byte = chunk[at]
        if (state === 'quoted') {
          if (byte === quote) state = 'closing'
        } else if (byte === newline) {
          state = 'start'
          return at + 1
        } else if (byte === separator) state = 'start'
        // A doubled quote is a quote; one at the start of a field opens; elsewhere it is a character.
        else if (byte === quote && state !== 'plain') state = 'quoted'
        else if (byte !== carriageReturn) state = 'plain'
      }
      return -1
    },
    unfinished: () => (state === 'quoted' ? 'a quote that opens here is never closed' : undefined),
  }
}

/** A record per element of a JSON array. `inside`: the text begins behind an element, not before the array. */
export function scanArray(inside: boolean): RecordScanner {
  let depth = inside ? 1 : 0
  let text: 'no' | 'yes' | 'escaped' = 'no'
  let closed = false
  return {
    find(chunk, from) {
      for (let at = from; at < chunk.length; at++) {
        const byte = chunk[at]
        if (text !== 'no') {
          if (text === 'escaped') text = 'yes'
          else if (byte === backslash) text = 'escaped'
          else if (byte === quote) text = 'no'
        } else if (byte === quote) text = 'yes'
        else if (byte === 0x5b || byte === 0x7b) depth++
        else if (byte === 0x5d || byte === 0x7d) {
          depth--
          closed ||= depth === 0
          if (depth === 0) return at + 1
        } else if (byte === comma && depth === 1) return at + 1
      }
      return -1
    },
    unfinished: () => (closed ? 'this stands behind the end of the array' : 'the file ends inside the array'),
  }
}
