import assert from 'node:assert/strict'
import { test } from 'node:test'
import { z } from 'zod'
import { submittedEventSchema } from './event.ts'
import { wording } from './wording.ts'

const said = (schema: z.ZodType, value: unknown) =>
  schema.safeParse(value, { error: wording }).error?.issues.map(({ message }) => message)

const samples: readonly (readonly [z.ZodType, unknown, string])[] = [
  [z.string(), undefined, 'is missing'],
  [z.string(), 1, 'must be text'],
  [z.int(), 1.5, 'must be a whole number'],
  [z.coerce.number().int(), 'x', 'must be a number'],
  [z.coerce.number().max(10), '11', 'must be at most 10'],
  [z.number().gt(3), 3, 'must be more than 3'],
  [z.number().multipleOf(5), 3, 'must be a multiple of 5'],
  [z.boolean(), 'yes', 'must be true or false'],
  [z.array(z.string()), {}, 'must be a list'],
  [z.array(z.string()).max(1), ['a', 'b'], 'must have at most 1 item'],
  [z.array(z.string()).min(1), [], 'must not be empty'],
  [z.record(z.string(), z.int()), [], 'must be an object'],
  [z.string().min(1), '', 'must not be empty'],
  [z.string().min(2), 'a', 'must have at least 2 characters'],
  [z.string().max(2), 'abc', 'must have at most 2 characters'],
  [z.string().regex(/^a/, 'must begin with a'), 'b', 'must begin with a'],
  [z.enum(['x', 'y']), 'z', 'must be one of x, y'],
  [z.literal('q'), 'z', 'must be q'],
  [z.uuid(), 'z', 'must be a UUID'],
  [z.iso.datetime(), 'z', 'must be an RFC 3339 date-time in UTC, such as 2026-03-01T12:00:00Z'],
  [z.union([z.string(), z.number()]), true, 'has none of the forms that are allowed here'],
]

test('every fault of a value ends a sentence that begins with its name', () => {
  for (const [schema, value, expected] of samples) assert.deepEqual(said(schema, value), [expected])
})

test('the faults of an event read so without a word of the caller', () => {
  const faults = (event: object) =>
    submittedEventSchema
      .safeParse(event)
      .error?.issues.map(({ path, message }) => `${path.join('/')} ${message}`)
  assert.deepEqual(faults({}), ['event_type is missing'])
  assert.deepEqual(
    faults({
      event_id: 1,
      event_type: '',
      user_id: 'u'.repeat(256),
      timestamp: 5,
      properties: 'none',
      source: '',
      schema_version: 0,
    }),
    [
      'event_id must be text',
      'event_type must not be empty',
      'event_type must be letters, digits and . _ : -',
      'user_id must have at most 255 characters',
      'timestamp must be text',
      'properties must be an object',
      'source must not be empty',
      'schema_version must be at least 1',
    ],
  )
})
