import type { Event } from '@pulse/protocol/event'
import { printable, shortTime, type Terminal } from './terminal.ts'

const columnCharsMax = 32
const propertyCharsMin = 24
const between = '  '

/**
 * Makes the function that writes events as lines. Columns grow with what they have met, so that neighbours
 * stand below each other. Where a person watches, properties are cut so that the line has `width` characters.
 */
export function createEventLines(
  terminal: Pick<Terminal, 'interactive' | 'style'>,
  width: number | undefined,
): (event: Event) => string {
  let typeChars = 12
  let userChars = 8
  return (event) => {
    const [type, user] = [printable(event.event_type), printable(event.user_id ?? '–')]
    typeChars = Math.max(typeChars, Math.min(type.length, columnCharsMax))
    userChars = Math.max(userChars, Math.min(user.length, columnCharsMax))
    const cells = [shortTime(event.timestamp), type.padEnd(typeChars), user.padEnd(userChars), event.event_id]
    const taken = cells.reduce((sum, { length }) => sum + length + between.length, 0)
    const room =
      terminal.interactive && width !== undefined ? Math.max(propertyCharsMin, width - taken) : undefined
    const [time = '', typeCell = '', ...others] = cells
    return [
      terminal.style('dim', time),
      terminal.style('cyan', typeCell),
      ...others,
      cut(propertiesText(event.properties), room),
    ].join(between)
  }
}

const cut = (text: string, chars = Number.POSITIVE_INFINITY) =>
  text.length <= chars ? text : `${text.slice(0, chars - 1)}…`

/** Properties as `name=value`, as `pulse events send` takes them; what is no plain value as JSON. */
function propertiesText(properties: Readonly<Record<string, unknown>>): string {
  const pairs = Object.entries(properties).map(([name, value]) => {
    const isPlain = typeof value === 'string' && /^[^\s"'=]+$/u.test(value)
    return printable(`${name}=${isPlain ? value : JSON.stringify(value)}`)
  })
  return pairs.length === 0 ? '–' : pairs.join(' ')
}
