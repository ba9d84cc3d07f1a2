import swagger from '@fastify/swagger'
import { problemSchema } from '@pulse/protocol/problem'
import { createJsonSchemaTransform, jsonSchemaTransformObject } from 'fastify-type-provider-zod'
import { type Access, scopesOf } from './access.ts'
import type { Http } from './http.ts'
import { transformWithBody } from './openapi-body.ts'

const transform = createJsonSchemaTransform({})
/** A problem among the answers of a route, for its `schema.response`. */
export const problemAnswer = (description: string) => ({
  description,
  content: { 'application/problem+json': { schema: problemSchema } },
})

/** Answers that any route may give, so that no module has to repeat them. */
const anyRoute = {
  400: problemAnswer('The request is wrong; errors[] says where.'),
  414: problemAnswer('The address is too long.'),
  429: problemAnswer('Over a limit. Retry-After says when to come back.'),
  500: problemAnswer('A mistake of ours.'),
  503: problemAnswer('Not now. Retry-After says when to come back.'),
}
const guardedRoute = {
  401: problemAnswer('No valid credential.'),
  403: problemAnswer('The credential lacks the scope.'),
}
const namedRoute = {
  404: problemAnswer('There is nothing of this name.'),
}
const socketRoute = {
  426: problemAnswer('The request does not ask for a WebSocket of version 13.'),
}
const bodyRoute = {
  413: problemAnswer('The body is too large.'),
  415: problemAnswer('The type or encoding of the body is not supported.'),
}

/** Collects every route that is registered afterwards into an OpenAPI 3.1 document, with the answers that all share. */
export async function documentApi(http: Http, version: string): Promise<void> {
  await http.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'Pulse',
        version,
        description:
          'Events go in once and are kept, processed and seen. Errors are RFC 9457 problems with a stable code.',
        license: { name: 'MIT', identifier: 'MIT' },
      },
      components: {
        securitySchemes: {
          bearer: { type: 'http', scheme: 'bearer', description: 'An API key or a token.' },
          session: {
            type: 'apiKey',
            in: 'cookie',
            name: 'pulse_session',
            description: 'The dashboard, after sign-in.',
          },
        },
      },
      security: [{ bearer: [] }, { session: [] }],
    },
    transform: (document) => {
      const { schema = {}, route } = document
      const access = route.config?.access
      const withBody = ['POST', 'PUT', 'PATCH'].includes(String(route.method))
      const response = {
        ...anyRoute,
        ...(access === 'public' ? {} : guardedRoute),
        ...(withBody ? bodyRoute : {}),
        ...(route.config?.webSocket ? socketRoute : {}),
        ...(document.url.includes(':') ? namedRoute : {}),
        ...(schema.response as object | undefined),
      }
      const documented = {
        ...schema,
        response,
        ...(access === 'public' ? { security: [] } : {}),
        ...(access === undefined || access === 'public'
          ? {}
          : { description: describe(schema.description, access) }),
      }
      return transformWithBody(transform, { ...document, schema: documented })
    },
    transformObject: jsonSchemaTransformObject,
  })
}

function describe(description: string | undefined, access: Access): string {
  const scopes = scopesOf(access)?.map((scope) => `\`${scope}\``)
  const need = scopes ? `Needs the scope ${scopes.join(' or ')}.` : 'Needs any credential.'
  return description === undefined ? need : `${description}\n\n${need}`
}
