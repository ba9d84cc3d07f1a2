import type { createJsonSchemaTransform } from 'fastify-type-provider-zod'
import type { z } from 'zod'

type Transform = ReturnType<typeof createJsonSchemaTransform>
type RouteDocument = Parameters<Transform>[0]

/** One type of a body: its schema and, for people, named examples that work when they are sent. */
export interface BodyType {
  readonly schema: z.ZodType
  readonly examples?: Readonly<Record<string, { readonly summary: string; readonly value: unknown }>>
}

interface TypedBody {
  readonly content: Readonly<Record<string, BodyType>>
}

const isTypedBody = (body: unknown): body is TypedBody =>
  typeof body === 'object' && body !== null && 'content' in body && !('_zod' in body)

/**
 * Turns a route's schemas into JSON Schema, as `transform` does, and also a body that comes in several types
 * (`body: { content: { 'application/json': { schema, examples } } }`), which `transform` takes for a schema.
 */
export function transformWithBody(transform: Transform, document: RouteDocument): ReturnType<Transform> {
  const body: unknown = document.schema?.body
  if (!isTypedBody(body)) return transform(document)
  const { body: _typed, ...schema } = document.schema
  const { schema: transformed, url } = transform({ ...document, schema })
  const one = ({ schema: wanted, examples }: BodyType) => {
    const json = transform({ ...document, schema: { body: wanted } }).schema.body as object
    if (examples === undefined) return { schema: json }
    // The generator of the document moves this member beside the schema, where OpenAPI has named examples. It would
    // drop whatever stands beside a reference.
    return { schema: { ...('$ref' in json ? { allOf: [json] } : json), 'x-examples': examples } }
  }
  const content = Object.fromEntries(Object.entries(body.content).map(([type, known]) => [type, one(known)]))
  return { schema: { ...transformed, body: { content } }, url }
}
