import { createReadStream } from 'node:fs'
import { exitCodes } from '../exit-code.ts'
import { CommandError } from '../failure.ts'
import { fieldsOf } from './csv-fields.ts'
import { lookInto } from './file-head.ts'
import { type RecordScanner, scanArray, scanCsv, scanLines } from './record-scanner.ts'

export type Format = 'ndjson' | 'json' | 'csv'
export const formats: readonly Format[] = ['ndjson', 'json', 'csv']

/** A place in a file from which reading can go on: a byte offset, its line, and how many records came before. */
export interface Place {
  readonly offset: number
  readonly line: number
  readonly record: number
}

type Values = ReadonlyMap<string, unknown>

/** What the text of a record holds: values by column or member name, or what is wrong with it. */
type Parsed = { readonly values: Values } | { readonly problem: string }

/** One record of a file. */
export interface FileRecord {
  /** Counted from 1 over the whole file, without empty lines. */
  readonly number: number
  /** Line on which it begins, counted from 1. */
  readonly line: number
  readonly text: string
  readonly parsed: Parsed
  /** Where the next record begins. */
  readonly next: Place
}

/** A file of records. */
export interface RecordSource {
  readonly format: Format
  /** Size of the file in bytes. */
  readonly bytes: number
  /** Column names of a CSV file. */
  readonly columns: readonly string[] | undefined
  /** The records from a place on; from the beginning without one. Throws CommandError. */
  read(from?: Place): AsyncGenerator<FileRecord>
}

const recordBytesMax = 8 * 1024 * 1024

/**
 * Opens a file of records. Its format is read off its name or its first character when not given. Throws
 * CommandError if it cannot be read or its header is not usable.
 */
export async function openRecords(
  file: string,
  options: { readonly format?: Format | undefined; readonly delimiter?: string | undefined } = {},
): Promise<RecordSource> {
  const { head, bytes, from } = await lookInto(file, 'pulse events import -')
  const begin: Place = { offset: from, line: 1, record: 0 }
  const format = options.format ?? guessFormat(file, head)
  if (format === 'csv') return await openCsv(file, bytes, begin, options.delimiter ?? ',')
  const scanner = (from: Place) => (format === 'json' ? scanArray(from.record > 0) : scanLines())
  const parse = format === 'json' ? parseElement : parseObject
  return {
    format,
    bytes,
    columns: undefined,
    read: (from = begin) => readRecords(file, from, scanner(from), parse),
  }
}

async function openCsv(file: string, bytes: number, begin: Place, delimiter: string): Promise<RecordSource> {
  const header = await readRecords(file, begin, scanCsv(delimiter), () => ({ values: new Map() })).next()
  if (header.done)
    throw new CommandError(exitCodes.failed, `${file} is empty: CSV begins with a line of column names`)
  const columns = fieldsOf(header.value.text, delimiter)
  if (columns === undefined || new Set(columns).size < columns.length || columns.includes(''))
    throw new CommandError(
      exitCodes.failed,
      `${file}, line ${header.value.line}: columns need names, each another one`,
    )
  const data: Place = { ...header.value.next, record: 0 }
  const parse = (text: string) => parseFields(text, columns, delimiter)
  return {
    format: 'csv',
    bytes,
    columns,
    read: (from = data) => readRecords(file, from, scanCsv(delimiter), parse),
  }
}

function guessFormat(file: string, head: string): Format {
  if (/\.(ndjson|jsonl)$/i.test(file)) return 'ndjson'
  const first = head.trimStart()[0]
  if (first === '[') return 'json'
  return first === '{' ? 'ndjson' : 'csv'
}

async function* readRecords(
  file: string,
  from: Place,
  scanner: RecordScanner,
  parse: (text: string) => Parsed | undefined,
): AsyncGenerator<FileRecord> {
  const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
  let { offset, line, record } = from
  let pieces: Buffer[] = []
  let pieceBytes = 0

  function take(bytes: Buffer, problem?: string): FileRecord | undefined {
    const startLine = line + countNewlines(bytes, leadingBlank(bytes, parse === parseElement && record === 0))
    offset += bytes.length
    line += countNewlines(bytes, bytes.length)
    const decoded = decode(utf8, bytes)
    const text = (decoded ?? bytes.toString('latin1')).replace(/\r?\n$/, '')
    if (text.trim() === '') return undefined
    const parsed =
      decoded === undefined ? { problem: 'not valid UTF-8' } : problem ? { problem } : parse(text)
    if (parsed === undefined) return undefined
    record++
    return { number: record, line: startLine, text, parsed, next: { offset, line, record } }
  }

  for await (const chunk of createReadStream(file, { start: from.offset, highWaterMark: 256 * 1024 })) {
    let at = 0
    for (let end = scanner.find(chunk, 0); end >= 0; end = scanner.find(chunk, at)) {
      pieces.push(chunk.subarray(at, end))
      const taken = take(pieces.length === 1 ? chunk.subarray(at, end) : Buffer.concat(pieces))
      pieces = []
      pieceBytes = 0
      at = end
      if (taken) yield taken
    }
    if (at < chunk.length) pieces.push(chunk.subarray(at))
    pieceBytes += chunk.length - at
    if (pieceBytes > recordBytesMax)
      throw new CommandError(
        exitCodes.failed,
        `${file}, line ${line}: a record of more than 8 MiB; is a quote or bracket not closed?`,
      )
  }
  const rest = take(Buffer.concat(pieces), scanner.unfinished())
  if (rest) yield rest
}

function decode(utf8: InstanceType<typeof TextDecoder>, bytes: Buffer): string | undefined {
  try {
    return utf8.decode(bytes)
  } catch {
    return undefined
  }
}

/** Index of the first byte of a record that is no blank; `opening`: nor the bracket of its array. */
function leadingBlank(bytes: Buffer, opening: boolean): number {
  let at = 0
  while (at < bytes.length && ((bytes[at] ?? 0) <= 0x20 || (opening && bytes[at] === 0x5b))) at++
  return at
}

function countNewlines(bytes: Buffer, end: number): number {
  let lines = 0
  for (let at = bytes.indexOf(0x0a); at >= 0 && at < end; at = bytes.indexOf(0x0a, at + 1)) lines++
  return lines
}

// The elements of an array come with the bracket before the first and the comma or bracket behind each.
function parseElement(text: string): Parsed | undefined {
  const whole = text.trim()
  const inner = whole
    .replace(/^\[(?=\s*(\{|\]$))/, '')
    .replace(/[,\]]$/, '')
    .trim()
  if (inner === '') return whole.endsWith(',') ? { problem: 'an element is missing' } : undefined
  return parseObject(inner)
}

function parseObject(text: string): Parsed {
  try {
    const value: unknown = JSON.parse(text)
    if (typeof value !== 'object' || value === null || Array.isArray(value))
      return { problem: 'not a JSON object' }
    return { values: new Map(Object.entries(value)) }
  } catch (error) {
    return { problem: `not valid JSON: ${error instanceof Error ? error.message : error}` }
  }
}

function parseFields(text: string, columns: readonly string[], delimiter: string): Parsed {
  const fields = fieldsOf(text, delimiter)
  if (fields === undefined) return { problem: 'characters stand behind a closing quote' }
  if (fields.length !== columns.length)
    return { problem: `${fields.length} fields, but the header has ${columns.length}` }
  const values = new Map<string, unknown>()
  // An empty field is an absent value.
  columns.forEach((column, at) => {
    if (fields[at] !== '') values.set(column, fields[at])
  })
  return { values }
}
