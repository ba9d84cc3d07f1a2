import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import fastifyStatic from '@fastify/static'
import type { Http } from './http.ts'

/**
 * Serves the built dashboard under `/ui/`. Files with a hash in their name are kept by browsers for good; every other
 * path gets the one page, so that each of the dashboard's addresses survives a reload. Beside it the pages `/names` and `/sse`.
 */
export async function dashboard(http: Http, folder: string): Promise<void> {
  // Without a build the API works all the same; the page then says what is missing.
  const pageOf = (file: string) => readFile(join(folder, file), 'utf8').catch(() => notBuilt)
  const page = await pageOf('index.html')
  await http.register(async (scope) => {
    scope.accessDefault = 'public'
    // The build brings every file in Brotli and gzip beside the plain one.
    await scope.register(fastifyStatic, { root: folder, serve: false, index: false, preCompressed: true })
    scope.get('/ui', { schema: { hide: true } }, async (_request, reply) => reply.redirect('/ui/', 302))
    for (const url of ['/ui/', '/ui/*'])
      scope.get(url, { schema: { hide: true } }, async (request, reply) => {
        const path = (request.params as { '*'?: string })['*'] ?? ''
        if (path.startsWith('assets/')) return reply.sendFile(path, { maxAge: '365d', immutable: true })
        if (/^[\w-]+\.(js|svg|png|ico|webmanifest|txt)$/.test(path))
          return reply.sendFile(path, { maxAge: 0 })
        return reply.headers(pageHeaders).send(page)
      })
    // Pages of their own beside the dashboard, for anybody: whether a name is free, and what is measured.
    for (const name of ['names', 'sse']) {
      const own = await pageOf(`${name}.html`)
      scope.get(`/${name}`, { schema: { hide: true } }, async (_request, reply) =>
        reply.headers(pageHeaders).send(own),
      )
    }
  })
}

// Asked for again each time: it names the files that belong to it, which change with every build.
const pageHeaders = { 'cache-control': 'no-cache', 'content-type': 'text/html; charset=utf-8' }

const notBuilt = `<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Pulse</title>
<p>The dashboard is not built. <code>npm start</code> builds it; <code>npm run build -w web</code> does it alone.</p>
</html>
`
