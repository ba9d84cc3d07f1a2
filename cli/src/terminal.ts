import { styleText } from 'node:util'

export type Style = 'bold' | 'dim' | 'red' | 'green' | 'yellow' | 'cyan'

/** Where a command speaks: results on standard output, everything else on standard error. */
export interface Terminal {
  /** True where results are JSON. */
  readonly json: boolean
  /** True where a person watches standard output. */
  readonly interactive: boolean
  /** True where a person watches standard error, so that a progress bar may move there. */
  readonly watched: boolean
  /** Writes one line of the result. */
  print(line: string): void
  /** Writes a piece of the result as it is. */
  write(text: string): void
  /** Writes a line that is no result: progress, advice, warnings. */
  note(line: string): void
  /** Writes one JSON document on one line; its `schema` names its shape and version. */
  document(schema: string, members: Readonly<Record<string, unknown>>): void
  /** Colours text for standard output, where colours are wanted. */
  style(style: Style, text: string): string
  /** The same for standard error. */
  styleNote(style: Style, text: string): string
}

export interface TerminalNeeds {
  readonly stdout: NodeJS.WriteStream
  readonly stderr: NodeJS.WriteStream
  readonly json: boolean
  readonly colour: boolean
  /** What stands for `pulse` in the commands that a note proposes. */
  readonly command: string
}

/** Makes the terminal over two streams. */
export function createTerminal({ stdout, stderr, json, colour, command }: TerminalNeeds): Terminal {
  const paint = (stream: NodeJS.WriteStream) => (style: Style, text: string) =>
    colour && stream.isTTY ? styleText(style, text, { validateStream: false }) : text
  return {
    json,
    interactive: stdout.isTTY === true,
    watched: stderr.isTTY === true,
    print: (line) => void stdout.write(`${line}\n`),
    write: (text) => void stdout.write(text),
    note: (line) => void stderr.write(`${line.replace(/\bNext: pulse /, `Next: ${command} `)}\n`),
    document: (schema, members) => void stdout.write(`${JSON.stringify({ schema, ...members })}\n`),
    style: paint(stdout),
    styleNote: paint(stderr),
  }
}

/** Lays rows out in columns, each as wide as its widest cell. Control characters are made visible. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const cells = [head, ...rows.map((row) => row.map(printable))]
  const widths = head.map((_, column) => Math.max(...cells.map((row) => row[column]?.length ?? 0)))
  return cells.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd(),
  )
}

/**
 * Text that came from outside, made harmless: neither an escape sequence in an event may steer the terminal, nor a
 * character that turns the direction of the text.
 */
export function printable(text: string): string {
  return text.replace(
    /[\p{Cc}\p{Bidi_Control}]/gu,
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
}

/** An instant as people read it: UTC to the second. */
export function shortTime(instant: string): string {
  return `${instant.slice(0, 19).replace('T', ' ')}Z`
}

/** A count with thin groups of three digits. */
export function count(value: number): string {
  return Math.round(value).toLocaleString('en-US')
}

/** A count with its noun: `1 record`, `2,000 records`. */
export function counted(value: number, noun: string): string {
  return `${count(value)} ${noun}${value === 1 ? '' : 's'}`
}

/** Milliseconds as people read them; a dash where nothing was measured. */
export function milliseconds(value: number | null): string {
  if (value === null) return '–'
  return value < 10 ? `${value.toFixed(2)} ms` : `${value.toFixed(value < 100 ? 1 : 0)} ms`
}

/** Seconds as people read them, for example `1 h 05 min` or `12 s`. */
export function duration(seconds: number): string {
  const whole = Math.round(seconds)
  if (whole < 60) return `${whole} s`
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${String(whole % 60).padStart(2, '0')} s`
  return `${Math.floor(whole / 3600)} h ${String(Math.floor((whole % 3600) / 60)).padStart(2, '0')} min`
}
