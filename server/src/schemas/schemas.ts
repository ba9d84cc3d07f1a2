import { createHash } from 'node:crypto'
import type { TopicDeclaration } from '@pulse/log'
import type { Event } from '@pulse/protocol/event'
import { limits } from '@pulse/protocol/limits'
import type { EventTypeConfig, TopicConfig } from '../config/define-config.ts'

const defaultTopic = 'events'
const builtIn = ['purchase', 'user_signup', 'page_view', 'custom']

interface SchemasNeeds {
  readonly eventTypes: Readonly<Record<string, EventTypeConfig>>
  readonly topics: Readonly<Record<string, TopicConfig>>
  /** Types that have a handler of their own are known too. */
  readonly handled: readonly string[]
  readonly partitions: number
  /** Refuse types that nobody declared. */
  readonly strict: boolean
}

/** What is declared about event types: where they go, what keeps them in order, what is indexed. */
export interface Schemas {
  /** Every topic that a type can go to. */
  readonly topics: readonly TopicDeclaration[]
  /** Types that are declared or built in. */
  readonly types: readonly string[]
  /** True if events of this type are taken. */
  accepts(eventType: string): boolean
  topicOf(eventType: string): string
  /** The value that keeps events of one thing in order; JSON text unless it is a string; a hash of what is long. */
  keyOf(event: Pick<Event, 'event_id' | 'event_type' | 'user_id' | 'properties'>): string
  keyPointerOf(eventType: string): string
  indexed(eventType: string): readonly string[]
}

/** Reads the declarations once. Throws nothing: the configuration has been checked. */
export function createSchemas(needs: SchemasNeeds): Schemas {
  const types = new Map(Object.entries(needs.eventTypes))
  const pointers = new Map(
    [...types].filter(([, type]) => type.key).map(([name, type]) => [name, pathOf(type.key ?? '')]),
  )
  const known = new Set([...builtIn, ...types.keys(), ...needs.handled.filter((name) => !name.includes('*'))])
  const families = needs.handled.filter((name) => name.endsWith('.*')).map((name) => name.slice(0, -1))
  return {
    topics: topicsOf(needs),
    types: [...known].sort(),
    accepts: (type) => !needs.strict || known.has(type) || families.some((prefix) => type.startsWith(prefix)),
    topicOf: (type) => types.get(type)?.topic ?? defaultTopic,
    keyOf: (event) => {
      const path = pointers.get(event.event_type)
      const value = path ? valueAt(event, path) : event.user_id
      if (value === undefined || value === null || value === '') return event.event_id
      return shortened(typeof value === 'string' ? value : JSON.stringify(value))
    },
    keyPointerOf: (type) => types.get(type)?.key ?? '/user_id',
    indexed: (type) => types.get(type)?.indexed ?? [],
  }
}

function topicsOf(needs: SchemasNeeds): TopicDeclaration[] {
  const partitions = new Map([[defaultTopic, needs.topics[defaultTopic]?.partitions ?? needs.partitions]])
  for (const [name, topic] of Object.entries(needs.topics)) partitions.set(name, topic.partitions)
  for (const type of Object.values(needs.eventTypes)) {
    const name = type.topic ?? defaultTopic
    if (!partitions.has(name)) partitions.set(name, type.partitions ?? needs.partitions)
  }
  return [...partitions].map(([name, count]) => ({ name, partitions: count }))
}

// A key stands in an index, which holds no more than about 2,700 bytes of it.
const shortened = (key: string) =>
  key.length > limits.userIdCharsMax ? createHash('sha256').update(key).digest('base64url') : key

const pathOf = (pointer: string) =>
  pointer
    .split('/')
    .slice(1)
    .map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~'))

function valueAt(event: object, path: readonly string[]): unknown {
  let value: unknown = event
  for (const name of path) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, name)) return undefined
    value = (value as Record<string, unknown>)[name]
  }
  return value
}
