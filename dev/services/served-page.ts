import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { build } from 'vite'
import { buildClientPackage } from '../publish/client-package.ts'
import { root } from '../setup/place.mjs'

/** A page at an address of its own, as a team's own pages are. */
export interface ServedPage extends AsyncDisposable {
  readonly url: string
}

/**
 * Serves a page that has `<div id="root">` and one script, bundled from the file `entry`. What it imports from the sources
 * of the client, beside its folder, it gets from the package as it is published. Rejects if that cannot be built.
 */
export async function servePage(entry: string): Promise<ServedPage> {
  const script = await bundleWithPackage(entry)
  const server = createServer((request, response) => {
    const isScript = request.url === '/page.js'
    response.writeHead(200, { 'content-type': isScript ? 'text/javascript' : 'text/html' })
    response.end(isScript ? script : '<div id="root"></div><script type="module" src="/page.js"></script>')
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}

async function bundleWithPackage(entry: string): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'pulse-page-'))
  try {
    await buildClientPackage(root, folder)
    return await bundle(entry, folder)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

async function bundle(entry: string, client: string): Promise<string> {
  const built = await build({
    ...{ configFile: false, logLevel: 'error', root: dirname(entry) },
    resolve: {
      alias: [{ find: /^\.\.\/src\/([\w-]+)\.ts$/, replacement: `${client}/$1.js` }],
      // The package lies where no React is.
      dedupe: ['react'],
    },
    define: { 'process.env.NODE_ENV': '"development"' },
    build: { write: false, minify: false, rolldownOptions: { input: entry } },
  })
  const chunk = (Array.isArray(built) ? built : [built])
    .flatMap((one) => ('output' in one ? one.output : []))
    .find(({ type }) => type === 'chunk')
  assert.ok(chunk?.type === 'chunk')
  // Sources that came along all the same would be tried in the package's place, and nobody would see it.
  const sources = chunk.moduleIds.filter((id) => id.includes('/client/src/'))
  assert.deepEqual(sources, [])
  return chunk.code
}
