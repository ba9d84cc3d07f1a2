import { styleText } from 'node:util'

const colours = {
  trace: 'gray',
  debug: 'gray',
  info: 'green',
  warn: 'yellow',
  error: 'red',
  fatal: 'redBright',
} as const
type Level = keyof typeof colours

const isLevel = (level: unknown): level is Level => typeof level === 'string' && level in colours

// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what must not reach a terminal.
const controls = /[\u0000-\u001f\u007f-\u009f\u2028\u2029]/g

/** A terminal obeys control characters, and what stands in a log line may come from anybody. */
const visible = (text: string): string =>
  text.replace(controls, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`)

const shown = (value: unknown): string => {
  const text = typeof value === 'string' ? value : JSON.stringify(value)
  return visible(/^[\w.:/@+-]+$/.test(text) ? text : JSON.stringify(value))
}

function errorLines(error: unknown): string {
  if (typeof error === 'string') return ` ${styleText('dim', 'error=')}${shown(error)}`
  if (typeof error !== 'object' || error === null) return ''
  const { stack, class: name, message } = error as Record<string, unknown>
  const text = typeof stack === 'string' ? stack : `${String(name)}: ${String(message)}`
  return text
    .split('\n')
    .map((line) => `\n    ${visible(line.trim())}`)
    .join('')
}

/** One JSON line of the log as a person reads it: time, level, module, message, fields; ends with a line break. */
export function formatLine(line: string): string {
  const parsed: unknown = JSON.parse(line)
  if (typeof parsed !== 'object' || parsed === null) return line
  const { timestamp, level, module, message, error, ...fields } = parsed as Record<string, unknown>
  const label = isLevel(level)
    ? styleText(colours[level], level.toUpperCase().padEnd(5))
    : visible(String(level))
  const time = styleText('dim', String(timestamp).slice(11, 23))
  const rest = Object.entries(fields).map(
    ([name, value]) => `${styleText('dim', `${visible(name)}=`)}${shown(value)}`,
  )
  const where = module === undefined ? '' : `${visible(String(module))}: `
  return `${[time, label, `${where}${visible(String(message ?? ''))}`, ...rest].join(' ')}${errorLines(error)}\n`
}
