import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import fastifyStatic from '@fastify/static'
import { z } from 'zod'
import type { Http } from '../http/http.ts'
import { type ApiDocument, tidyApiDocument } from './api-document.ts'

/** Swagger UI's files as its package ships them; only these are served. */
const assets: ReadonlySet<string> = new Set(['swagger-ui.css', 'swagger-ui-bundle.js', 'favicon-32x32.png'])
const assetFolder = join(dirname(fileURLToPath(import.meta.resolve('@fastify/swagger-ui'))), 'static')

// Our own page instead of the plugin's: that one brings a second copy of the document, YAML, OAuth redirects and a
// script that would have to be inline, and the policy of this server forbids inline scripts.
const page = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Pulse API</title>
<link rel="stylesheet" href="/docs/static/swagger-ui.css">
<link rel="icon" type="image/png" href="/docs/static/favicon-32x32.png">
</head>
<body>
<main id="api"></main>
<noscript>This page needs JavaScript. The document is at <a href="/openapi.json">/openapi.json</a>.</noscript>
<script src="/docs/static/swagger-ui-bundle.js"></script>
<script src="/docs/static/start.js"></script>
</body>
</html>
`

// No key is kept in the browser beyond this page: whoever uses the machine next would have it.
const startScript = `SwaggerUIBundle({
  url: '/openapi.json',
  dom_id: '#api',
  deepLinking: true,
  tryItOutEnabled: true,
  persistAuthorization: false,
  validatorUrl: null,
  displayRequestDuration: true,
  docExpansion: 'list',
  defaultModelsExpandDepth: 0,
})
`

/** Registers `/openapi.json` and `/docs`: the API to read and to try, from files of this server only. */
export async function docsPage(http: Http): Promise<void> {
  let document: ApiDocument | undefined
  http.get('/openapi.json', {
    config: { access: 'public' },
    schema: {
      tags: ['operations'],
      summary: 'This API as OpenAPI 3.1',
      response: { 200: z.record(z.string(), z.unknown()).describe('The document.') },
    },
    handler: async (_request, reply) => {
      // Routes cannot change once the server is ready, so the document is made once.
      document ??= tidyApiDocument(http.swagger() as unknown as ApiDocument)
      return reply.send(document)
    },
  })
  for (const url of ['/docs', '/docs/'])
    http.get(url, {
      config: { access: 'public' },
      schema: { hide: true },
      handler: async (_request, reply) => reply.type('text/html; charset=utf-8').send(page),
    })
  http.get('/docs/static/start.js', {
    config: { access: 'public' },
    schema: { hide: true },
    handler: async (_request, reply) => reply.type('text/javascript; charset=utf-8').send(startScript),
  })
  await http.register(async (scope) => {
    scope.accessDefault = 'public'
    await scope.register(fastifyStatic, {
      root: assetFolder,
      prefix: '/docs/static/',
      decorateReply: false,
      allowedPath: (path) => assets.has(path.replace(/^\//, '')),
      maxAge: '1h',
    })
  })
}
