import type { SubmittedEvent } from '@pulse/protocol/event'
import { scalar } from '../option-values.ts'
import { createReadTime } from './local-time.ts'
import { isUuid, uuid5 } from './uuid5.ts'

/** How records become events. Names are column names of CSV or member names of JSON. */
export interface Mapping {
  /** Event type of every record; otherwise it is read from `event_type`. */
  readonly type?: string | undefined
  /** By member of the event (`user_id`, `timestamp`, `properties.NAME` …) the name where its value stands. */
  readonly map?: Readonly<Record<string, string>> | undefined
  /** Which become properties; all that are not used otherwise when left out. */
  readonly properties?: readonly string[] | undefined
  /** Where the record's own id stands. */
  readonly id?: string | undefined
  /** Columns whose values stay text although they look like numbers. */
  readonly text?: readonly string[] | undefined
  /** Zone of times without an offset; UTC when left out. */
  readonly timezone?: string | undefined
  /** Value of the event's `source`. */
  readonly source?: string | undefined
}

/** Makes an event of a record's values, or says in a line why it cannot. */
export type ToEvent = (values: ReadonlyMap<string, unknown>, number: number) => SubmittedEvent | string

const members = ['event_id', 'event_type', 'user_id', 'timestamp', 'source', 'schema_version'] as const
type Member = (typeof members)[number]
const isMember = (name: string): name is Member => members.some((member) => member === name)
const propertyPrefix = 'properties.'

export interface MappingOptions {
  readonly seed: string
  readonly typed: boolean
  readonly again?: string | undefined
}

/**
 * Compiles a mapping. `typed`: values are text and have to be read (CSV). `seed` stands for the file in ids that
 * are made; with `again` all ids are others than without. Throws RangeError that names what is wrong with the mapping.
 */
export function compileMapping(mapping: Mapping, { seed, typed, again }: MappingOptions): ToEvent {
  const columnOf = new Map<Member, string>(members.map((member) => [member, member]))
  const renamed = new Map<string, string>()
  for (const [target, column] of Object.entries(mapping.map ?? {})) {
    if (isMember(target)) columnOf.set(target, column)
    else if (target.startsWith(propertyPrefix)) renamed.set(column, target.slice(propertyPrefix.length))
    else throw new RangeError(`'${target}' is no member of an event: ${members.join(', ')}, properties.NAME`)
  }
  const idColumn = mapping.id ?? columnOf.get('event_id') ?? 'event_id'
  const used = new Set([...columnOf.values(), idColumn, 'properties'])
  const texts = new Set(mapping.text)
  const chosen = mapping.properties === undefined ? undefined : new Set(mapping.properties)
  const readTime = createReadTime(mapping.timezone ?? 'UTC')
  const readValue = (column: string, value: unknown) =>
    typed && typeof value === 'string' && !texts.has(column) ? scalar(value) : value

  function propertiesOf(values: ReadonlyMap<string, unknown>): Record<string, unknown> {
    const entries: [string, unknown][] = []
    const own = values.get('properties')
    if (typeof own === 'object' && own !== null) entries.push(...Object.entries(own))
    for (const [column, value] of values) {
      const name = renamed.get(column)
      if (name !== undefined) entries.push([name, readValue(column, value)])
      else if (chosen ? chosen.has(column) : !used.has(column))
        entries.push([column, readValue(column, value)])
    }
    // Not by assignment: a column may be called `__proto__`.
    return Object.fromEntries(entries)
  }

  function idOf(values: ReadonlyMap<string, unknown>, type: string, number: number): string | undefined {
    const own = values.get(idColumn)
    if (own === undefined || own === null || own === '')
      return mapping.id === undefined ? uuid5(`${seed}:${number}`) : undefined
    // The type is part of the name, because row 1 of the orders is not row 1 of the customers.
    return isUuid(String(own)) ? String(own).toLowerCase() : uuid5(`${type}\n${idColumn}\n${own}`)
  }

  return (values, number) => {
    const get = (member: Member) => values.get(columnOf.get(member) ?? member)
    const type = mapping.type ?? get('event_type')
    if (type === undefined || type === null) return `no event_type: '${columnOf.get('event_type')}' is empty`
    const ownId = idOf(values, String(type), number)
    if (ownId === undefined) return `no id: '${idColumn}' is empty`
    const event_id = again === undefined ? ownId : uuid5(`${ownId}\n${again}`)
    const time = get('timestamp')
    const timestamp = time === undefined || time === null ? undefined : readTime(time)
    if (timestamp === undefined && time !== undefined && time !== null) return `'${time}' is no date and time`
    const user = get('user_id')
    const source = mapping.source ?? get('source')
    const version = get('schema_version')
    return {
      event_id,
      event_type: String(type),
      ...(user === undefined || user === null ? {} : { user_id: String(user) }),
      ...(timestamp === undefined ? {} : { timestamp }),
      properties: propertiesOf(values),
      ...(source === undefined || source === null ? {} : { source: String(source) }),
      ...(version === undefined || version === null ? {} : { schema_version: Number(version) }),
    }
  }
}
