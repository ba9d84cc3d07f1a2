import fc, { type Arbitrary } from 'fast-check'

/** The part of JSON Schema that our document uses. */
export interface JsonSchema {
  readonly $ref?: string
  readonly type?: string | readonly string[]
  readonly enum?: readonly unknown[]
  readonly const?: unknown
  readonly anyOf?: readonly JsonSchema[]
  readonly oneOf?: readonly JsonSchema[]
  readonly allOf?: readonly JsonSchema[]
  readonly properties?: Readonly<Record<string, JsonSchema>>
  readonly required?: readonly string[]
  readonly additionalProperties?: boolean | JsonSchema
  readonly items?: JsonSchema
  readonly minItems?: number
  readonly maxItems?: number
  readonly minLength?: number
  readonly maxLength?: number
  readonly pattern?: string
  readonly format?: string
  readonly minimum?: number
  readonly maximum?: number
  readonly exclusiveMinimum?: number
  readonly exclusiveMaximum?: number
  readonly default?: unknown
  readonly example?: unknown
  readonly examples?: readonly unknown[]
}

type Resolve = (ref: string) => JsonSchema

const formats: Readonly<Record<string, Arbitrary<string>>> = {
  uuid: fc.uuid(),
  'date-time': fc
    .date({ min: new Date('1970-01-01'), max: new Date('2100-01-01'), noInvalidDate: true })
    .map((date) => date.toISOString()),
  uri: fc.webUrl(),
}

const itemsMax = 5

// To read a class such as \p{C} takes a second, and a pattern stands in many routes.
const known = new Map<string, Arbitrary<string>>()

function matching(pattern: string): Arbitrary<string> {
  const strings = known.get(pattern) ?? fc.stringMatching(new RegExp(pattern, 'u'))
  known.set(pattern, strings)
  return strings
}

function stringOf(schema: JsonSchema): Arbitrary<string> {
  const ofFormat = schema.format === undefined ? undefined : formats[schema.format]
  if (ofFormat) return ofFormat
  if (schema.pattern !== undefined) return matching(schema.pattern)
  const minLength = schema.minLength ?? 0
  const maxLength = Math.min(schema.maxLength ?? 40, 300)
  const any = fc.string({ unit: 'binary', minLength, maxLength })
  // The edges of a length are where limits are off by one.
  const edges = [minLength, maxLength].map((length) => 'x'.repeat(length))
  return fc.oneof(any, fc.string({ minLength, maxLength }), fc.constantFrom(...edges))
}

function integerOf(schema: JsonSchema): Arbitrary<number> {
  const min = schema.minimum ?? (schema.exclusiveMinimum ?? -2_147_483_649) + 1
  const max = schema.maximum ?? (schema.exclusiveMaximum ?? 2_147_483_648) - 1
  return fc.oneof(fc.integer({ min, max }), fc.constantFrom(min, max))
}

function objectOf(schema: JsonSchema, resolve: Resolve): Arbitrary<unknown> {
  const properties = schema.properties ?? {}
  const members = Object.fromEntries(
    Object.entries(properties).map(([name, member]) => [name, validFor(member, resolve)]),
  )
  const required = Object.keys(properties).filter((name) => schema.required?.includes(name))
  const known = fc.record(members, { requiredKeys: required })
  const more = schema.additionalProperties
  if (more === false || more === undefined || Object.keys(members).length > 0) return known
  const value = more === true ? fc.jsonValue() : validFor(more, resolve)
  return fc.dictionary(fc.string({ maxLength: 20 }), value, { maxKeys: itemsMax })
}

function byType(type: string, schema: JsonSchema, resolve: Resolve): Arbitrary<unknown> {
  switch (type) {
    case 'string':
      return stringOf(schema)
    case 'integer':
      return integerOf(schema)
    case 'number':
      return fc.oneof(integerOf(schema), fc.double({ min: -1e6, max: 1e6, noNaN: true }))
    case 'boolean':
      return fc.boolean()
    case 'null':
      return fc.constant(null)
    case 'array':
      return fc.array(validFor(schema.items ?? {}, resolve), {
        minLength: schema.minItems ?? 0,
        maxLength: Math.min(schema.maxItems ?? itemsMax, itemsMax),
      })
    default:
      return objectOf(schema, resolve)
  }
}

/** Values that the schema allows, with its edges among them. */
export function validFor(schema: JsonSchema, resolve: Resolve): Arbitrary<unknown> {
  if (schema.$ref !== undefined) return validFor(resolve(schema.$ref), resolve)
  if ('const' in schema) return fc.constant(schema.const)
  if (schema.enum) return fc.constantFrom(...schema.enum)
  const choices = schema.anyOf ?? schema.oneOf
  if (choices) return fc.oneof(...choices.map((choice) => validFor(choice, resolve)))
  if (schema.allOf) {
    const parts = schema.allOf.map((part) => (part.$ref === undefined ? part : resolve(part.$ref)))
    return validFor(Object.assign({}, ...parts), resolve)
  }
  const type = schema.type ?? (schema.properties ? 'object' : undefined)
  if (type === undefined) return fc.jsonValue({ maxDepth: 3 })
  const types = typeof type === 'string' ? [type] : type
  return fc.oneof(...types.map((one) => byType(one, schema, resolve)))
}

/** Values that hardly any schema allows: wrong types, extremes, text that breaks parsers and databases. */
export const nasty: Arbitrary<unknown> = fc.oneof(
  fc.constantFrom<unknown>(
    null,
    '',
    '\u0000',
    'a\u0000b',
    '\ud800',
    "'; DROP TABLE events; --",
    '../../../../etc/passwd',
    '%00',
    '💥'.repeat(200),
    'x'.repeat(20_000),
    '9'.repeat(400),
    'NaN',
    '-1',
    '0',
    '1e309',
    '2026-02-30T25:61:61Z',
    '0001-01-01T00:00:00Z',
    '9999-12-31T23:59:59.999999999-23:59',
    -1,
    0,
    2 ** 31,
    2 ** 53,
    1e308,
    true,
    [],
    {},
    [[[[[]]]]],
    { __proto__: null, constructor: { prototype: 1 } },
  ),
  fc.jsonValue({ maxDepth: 4 }),
  fc.string({ unit: 'binary', maxLength: 60 }),
)

/** A value of the schema in which one member, item or the whole is replaced by something nasty. */
export function brokenFor(schema: JsonSchema, resolve: Resolve): Arbitrary<unknown> {
  return fc.tuple(validFor(schema, resolve), nasty, fc.nat()).map(([valid, wrong, where]) => {
    if (Array.isArray(valid) && valid.length > 0) return valid.with(where % valid.length, wrong)
    if (typeof valid !== 'object' || valid === null || Array.isArray(valid)) return wrong
    const names = [...Object.keys(valid), 'no_such_member']
    const name = names[where % names.length] ?? 'no_such_member'
    return { ...valid, [name]: wrong }
  })
}
