import { resolve } from 'node:path'
import { controlPrefix, isControlType } from '@pulse/log/control-record'
import type { ConfigProblem } from './config-error.ts'
import type { EventTypeConfig, Handler, TopicConfig } from './define-config.ts'
import type { Places } from './sources.ts'

/** The parts of a config file that are code or have structure, checked; paths are absolute. */
export interface ConfigParts {
  readonly eventTypes: Readonly<Record<string, EventTypeConfig>>
  readonly topics: Readonly<Record<string, TopicConfig>>
  readonly handlers: Readonly<Record<string, Handler>>
  readonly migrations: readonly string[]
}

export const partNames = ['eventTypes', 'topics', 'handlers', 'migrations'] as const

const pointerPattern = /^(\/([^~/]|~[01])*)+$/
const handlerPattern = /^(\*|[^*\s]+|[^*\s]+\.\*)$/

type Report = (setting: string, expected: string, received: unknown) => void

/** Checks the parts of the config file; adds to `problems` everything that is wrong in them. */
export function readParts(file: Places['file'], problems: ConfigProblem[]): ConfigParts {
  const content = file?.content ?? {}
  const report: Report = (setting, expected, received) => {
    const message = `expected ${expected}, received ${shown(received)} (${file?.path ?? 'config file'})`
    problems.push({ setting, message })
  }
  return {
    eventTypes: readRecord(content, 'eventTypes', report, readEventType),
    topics: readRecord(content, 'topics', report, readTopic),
    handlers: readRecord(content, 'handlers', report, readHandler),
    migrations: readMigrations(content.migrations, file?.path ?? '', report),
  }
}

function shown(value: unknown): string {
  return typeof value === 'function' ? 'a function' : (JSON.stringify(value)?.slice(0, 80) ?? 'nothing')
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function readRecord<T>(
  content: Readonly<Record<string, unknown>>,
  part: string,
  report: Report,
  readOne: (at: string, name: string, value: unknown, report: Report) => T | undefined,
): Readonly<Record<string, T>> {
  const whole = content[part]
  if (whole === undefined) return {}
  if (!isRecord(whole)) {
    report(part, 'an object', whole)
    return {}
  }
  const entries = Object.entries(whole).map(([name, value]) => [
    name,
    readOne(`${part}.${name}`, name, value, report),
  ])
  return Object.fromEntries(entries.filter(([, value]) => value !== undefined))
}

function isPartitionCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= 1 && value <= 64
}

const eventTypeMembers: Readonly<
  Record<keyof EventTypeConfig, readonly [string, (value: unknown) => boolean]>
> = {
  topic: [
    'a topic name (letters, digits, . _ -)',
    (value) => typeof value === 'string' && /^[\w.-]{1,200}$/.test(value),
  ],
  key: [
    'a JSON Pointer such as /properties/order_id',
    (value) => typeof value === 'string' && pointerPattern.test(value),
  ],
  indexed: [
    'a list of property names',
    (value) => Array.isArray(value) && value.every((one) => typeof one === 'string' && one !== ''),
  ],
  partitions: ['a whole number from 1 to 64', isPartitionCount],
}

function readEventType(
  at: string,
  name: string,
  value: unknown,
  report: Report,
): EventTypeConfig | undefined {
  if (isControlType(name))
    report(at, `a type that does not begin with ${controlPrefix}, which is reserved`, name)
  if (!isRecord(value)) {
    report(at, 'an object with topic, key, indexed or partitions', value)
    return undefined
  }
  for (const [member, content] of Object.entries(value)) {
    const rule = Object.entries(eventTypeMembers).find(([name]) => name === member)?.[1]
    if (!rule) report(`${at}.${member}`, 'only topic, key, indexed or partitions', content)
    else if (content !== undefined && !rule[1](content)) report(`${at}.${member}`, rule[0], content)
  }
  return value
}

function readTopic(at: string, name: string, value: unknown, report: Report): TopicConfig | undefined {
  if (!/^[\w.-]{1,200}$/.test(name)) report(at, 'a topic name (letters, digits, . _ -)', name)
  if (isRecord(value) && isPartitionCount(value.partitions)) return { partitions: value.partitions }
  report(`${at}.partitions`, 'a whole number from 1 to 64', isRecord(value) ? value.partitions : value)
  return undefined
}

function readHandler(at: string, name: string, value: unknown, report: Report): Handler | undefined {
  if (!handlerPattern.test(name)) report(at, 'an event type, a prefix such as order.*, or *', name)
  if (isControlType(name))
    report(at, `a type that does not begin with ${controlPrefix}, which is reserved`, name)
  if (typeof value === 'function') return value as Handler
  report(at, 'a function', value)
  return undefined
}

function readMigrations(value: unknown, path: string, report: Report): readonly string[] {
  if (value === undefined) return []
  if (Array.isArray(value) && value.every((one) => typeof one === 'string' && one !== ''))
    return value.map((folder) => resolve(path, '..', folder))
  report('migrations', 'a list of folders', value)
  return []
}
