import { STATUS_CODES } from 'node:http'

/** An OpenAPI document as far as it is touched here. */
export interface ApiDocument {
  readonly paths?: Readonly<Record<string, Readonly<Record<string, Operation>>>>
  readonly components?: { readonly schemas?: Readonly<Record<string, unknown>> }
  readonly [member: string]: unknown
}

interface Operation {
  readonly operationId?: string
  readonly tags?: readonly string[]
  readonly responses?: Readonly<Record<string, { readonly description?: string }>>
}

const tagTexts: Readonly<Record<string, string>> = {
  events: 'Send events, find them, see the life of one.',
  'dead-letters': 'Events that no attempt could process: look at them, send them again.',
  accounts: 'Keys, tokens, tickets and the sign-in of operators.',
  operations: 'Health, metrics, and this document.',
}

const refPrefix = '#/components/schemas/'

/** Names of the schemas that `value` refers to, directly. */
function* refsOf(value: unknown): Generator<string> {
  if (typeof value !== 'object' || value === null) return
  for (const [name, member] of Object.entries(value)) {
    if (name === '$ref' && typeof member === 'string' && member.startsWith(refPrefix))
      yield member.slice(refPrefix.length)
    else yield* refsOf(member)
  }
}

function reachable(document: ApiDocument): ReadonlySet<string> {
  const found = new Set<string>()
  const open = [...refsOf(document.paths)]
  for (let name = open.pop(); name !== undefined; name = open.pop()) {
    if (found.has(name)) continue
    found.add(name)
    open.push(...refsOf(document.components?.schemas?.[name]))
  }
  return found
}

/**
 * Every schema is generated twice, as input and as output. Those that nobody refers to go, and one that is only
 * ever sent loses the suffix `Input`, which would otherwise become the name of a class in generated clients.
 */
function tidySchemas(document: ApiDocument): ApiDocument {
  const used = reachable(document)
  const newNames = new Map<string, string>()
  for (const name of used) {
    const plain = name.replace(/Input$/, '')
    if (plain !== name && !used.has(plain)) newNames.set(name, plain)
  }
  const schemas = Object.fromEntries(
    [...used]
      .toSorted()
      .map((name) => [newNames.get(name) ?? name, document.components?.schemas?.[name]] as const),
  )
  const kept = { ...document, components: { ...document.components, schemas } }
  const renamed = JSON.stringify(kept, (member, value: unknown) => {
    if (member !== '$ref' || typeof value !== 'string' || !value.startsWith(refPrefix)) return value
    const name = value.slice(refPrefix.length)
    return `${refPrefix}${newNames.get(name) ?? name}`
  })
  return JSON.parse(renamed) as ApiDocument
}

const capital = (word: string) => word.charAt(0).toUpperCase() + word.slice(1)

/** `GET /dead-letters/{id}` becomes `getDeadLettersById`: generated clients need a name, and it must never change. */
function operationIdOf(method: string, path: string): string {
  const parts = path.split('/').filter((part) => part !== '')
  const camel = (text: string) =>
    text
      .split(/[^A-Za-z0-9]+/)
      .map(capital)
      .join('')
  const named = parts.map((part) => (part.startsWith('{') ? `By${camel(part)}` : camel(part)))
  return `${method}${named.join('') || 'Root'}`
}

function tidyOperation(method: string, path: string, operation: Operation): Operation {
  const responses = Object.entries(operation.responses ?? {}).map(([status, response]) => {
    const described = response.description !== undefined && response.description !== 'Default Response'
    return [status, described ? response : { ...response, description: STATUS_CODES[status] ?? status }]
  })
  return {
    operationId: operationIdOf(method, path),
    ...operation,
    responses: Object.fromEntries(responses),
  }
}

/** Makes the generated document fit for readers and for generators of clients; what it promises stays the same. */
export function tidyApiDocument(generated: ApiDocument): ApiDocument {
  const document = tidySchemas(generated)
  const paths = Object.fromEntries(
    Object.entries(document.paths ?? {})
      .toSorted(([a], [b]) => (a < b ? -1 : 1))
      .map(([path, item]) => [
        path,
        Object.fromEntries(
          Object.entries(item).map(([method, operation]) => [method, tidyOperation(method, path, operation)]),
        ),
      ]),
  )
  const operations = Object.values(paths).flatMap((item) => Object.values(item) as Operation[])
  const names = [...new Set(operations.flatMap((operation) => operation.tags ?? []))]
  const known = Object.keys(tagTexts)
  const order = (name: string) => (known.includes(name) ? known.indexOf(name) : known.length)
  const tags = names
    .toSorted((a, b) => order(a) - order(b))
    .map((name) => ({ name, ...(tagTexts[name] === undefined ? {} : { description: tagTexts[name] }) }))
  return { ...document, tags, paths }
}
