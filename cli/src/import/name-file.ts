/**
 * Files of names, in a small memory whatever their size:
 * - lines: a name per line
 * - json: one JSON array, as of `all-the-package-names`
 * - ndjson: a JSON value per line
 * - csv: a name in a column under a header
 * A JSON value is a name by itself, or an object with a member that holds it.
 */
import { createReadStream } from 'node:fs'
import { exitCodes } from '../exit-code.ts'
import { CommandError } from '../failure.ts'
import { fieldsOf } from './csv-fields.ts'
import { lookInto } from './file-head.ts'
import { type RecordScanner, scanArray, scanCsv, scanLines } from './record-scanner.ts'

export type NameFormat = 'lines' | 'json' | 'ndjson' | 'csv'
export const nameFormats: readonly NameFormat[] = ['lines', 'json', 'ndjson', 'csv']

/** One entry of a file: a name without the white space around it, or why there is none. */
export interface NameEntry {
  /** Counted from 1. */
  readonly line: number
  /** Counted from 1, without what is empty. */
  readonly record: number
  /** As it stands in the file, or the name. */
  readonly text: string
  readonly problem?: string
}

/** A piece of a file, and the bytes up to its end. */
export interface NamePage {
  readonly entries: readonly NameEntry[]
  readonly bytes: number
}

export interface NameFile {
  readonly format: NameFormat
  /** Size of the file. */
  readonly bytes: number
  /** All of it, page by page. Throws CommandError. */
  read(): AsyncGenerator<NamePage>
}

export interface NameFileOptions {
  readonly format?: NameFormat | undefined
  /** Column or member that holds the name. */
  readonly column: string
  /** Between the fields of CSV. */
  readonly delimiter: string
}

const pageBytes = 256 * 1024
/** A name is much shorter; a record may be an object with much else in it. */
const recordBytesMax = 8 * 1024 * 1024

/** Opens a file of names; its format is read off its name and its first characters when not given. Throws CommandError. */
export async function openNameFile(file: string, options: NameFileOptions): Promise<NameFile> {
  const { head, from, bytes } = await lookInto(file, 'pulse names import -')
  const format = options.format ?? guessFormat(file, head)
  return { format, bytes, read: () => readPages(file, from, readerOf(format, options)) }
}

function guessFormat(file: string, head: string): NameFormat {
  if (/\.(ndjson|jsonl)$/i.test(file)) return 'ndjson'
  if (/\.csv$/i.test(file)) return 'csv'
  // A name may begin with a bracket, so what follows must be JSON as well.
  if (/^\s*\[\s*["{\]]/.test(head)) return 'json'
  return /^\s*\{\s*"/.test(head) ? 'ndjson' : 'lines'
}

/** Undefined: the record holds no entry. */
type Parsed = { readonly text: string; readonly problem?: string } | undefined

interface Reader {
  readonly scanner: RecordScanner
  readonly isArray?: true
  /** Reads the text of a record; `number` counts those before it. Throws CommandError where nothing can be read. */
  parse(text: string, number: number): Parsed
}

function readerOf(format: NameFormat, { column, delimiter }: NameFileOptions): Reader {
  switch (format) {
    case 'lines':
      return { scanner: scanLines(), parse: (text) => ({ text }) }
    case 'ndjson':
      return { scanner: scanLines(), parse: (text) => nameIn(text, column) }
    case 'json':
      return {
        scanner: scanArray(false),
        isArray: true,
        parse: (text, number) => elementOf(text, number, column),
      }
    case 'csv':
      return csvReader(column, delimiter)
  }
}

function csvReader(column: string, delimiter: string): Reader {
  let at: number | undefined
  return {
    scanner: scanCsv(delimiter),
    parse(text) {
      const fields = fieldsOf(text, delimiter)
      if (at !== undefined) {
        const name = fields?.[at]
        return name === undefined ? { text, problem: 'has no such column' } : { text: name }
      }
      at = fields?.indexOf(column) ?? -1
      if (at >= 0) return undefined
      const there = fields === undefined ? 'none that can be read' : fields.join(', ')
      throw new CommandError(
        exitCodes.usage,
        `the header has no column '${column}'; it has ${there}`,
        '--column NAME',
      )
    },
  }
}

// The elements of an array come with the bracket before the first and the comma or bracket behind each.
function elementOf(text: string, number: number, column: string): Parsed {
  const whole = number === 0 ? text.trim().replace(/^\[/, '') : text.trim()
  const inner = whole.replace(/[,\]]$/, '').trim()
  if (inner !== '') return nameIn(inner, column)
  return whole.endsWith(',') ? { text, problem: 'an element is missing' } : undefined
}

function nameIn(text: string, column: string): Parsed {
  try {
    const value: unknown = JSON.parse(text)
    if (typeof value === 'string') return { text: value }
    const member = typeof value === 'object' && value !== null ? Reflect.get(value, column) : undefined
    return typeof member === 'string' ? { text: member } : { text, problem: `has no '${column}' with a name` }
  } catch {
    return { text, problem: 'is not valid JSON' }
  }
}

async function* readPages(
  file: string,
  from: number,
  { scanner, isArray, parse }: Reader,
): AsyncGenerator<NamePage> {
  let [bytes, line, record, entries] = [from, 1, 0, [] as NameEntry[]]
  let rest: Buffer = Buffer.alloc(0)

  function take({ text, problem }: Decoded, unfinished?: string): void {
    const startLine = line + (isArray ? linesBefore(text) : 0)
    line += newlinesIn(text, text.length)
    if (text.trim() === '') return
    const wrong = problem ?? unfinished
    const parsed = wrong === undefined ? parse(withoutNewline(text), record) : { text, problem: wrong }
    const name = parsed?.text.trim() ?? ''
    if (parsed === undefined || (name === '' && parsed.problem === undefined)) return
    record++
    entries.push({ ...parsed, line: startLine, record, text: name })
  }

  for await (const chunk of createReadStream(file, { start: from, highWaterMark: pageBytes })) {
    let at = 0
    for (let end = scanner.find(chunk, 0); end >= 0; end = scanner.find(chunk, at)) {
      take(rest.length === 0 ? decode(chunk, at, end) : decode(Buffer.concat([rest, chunk.subarray(0, end)])))
      rest = Buffer.alloc(0)
      at = end
    }
    if (at < chunk.length) rest = Buffer.concat([rest, chunk.subarray(at)])
    if (rest.length > recordBytesMax)
      throw new CommandError(exitCodes.failed, `${file}, line ${line}: an entry of more than 8 MiB`)
    bytes += chunk.length
    yield { entries, bytes: bytes - rest.length }
    entries = []
  }
  take(decode(rest), scanner.unfinished())
  yield { entries, bytes }
}

interface Decoded {
  readonly text: string
  readonly problem?: string
}

const utf8 = new TextDecoder('utf-8', { fatal: true })

/** Names are short: asking the strict decoder for each, or making a buffer, would take longer than all the rest. */
function decode(bytes: Buffer, from = 0, to = bytes.length): Decoded {
  const text = bytes.toString('utf8', from, to)
  if (!text.includes('\ufffd')) return { text }
  try {
    return { text: utf8.decode(bytes.subarray(from, to)) }
  } catch {
    return { text: bytes.toString('latin1', from, to), problem: 'is not valid UTF-8' }
  }
}

const withoutNewline = (text: string) => (text.endsWith('\n') ? text.replace(/\r?\n$/, '') : text)

/** Newlines in the first characters of a text. */
function newlinesIn(text: string, length: number): number {
  let lines = 0
  for (let at = text.indexOf('\n'); at >= 0 && at < length; at = text.indexOf('\n', at + 1)) lines++
  return lines
}

/** Lines that end before an element of an array, which begins behind the comma of the one before, or behind the bracket. */
function linesBefore(element: string): number {
  let at = 0
  while (' \t\r\n['.includes(element[at] ?? 'end')) at++
  return newlinesIn(element, at)
}
