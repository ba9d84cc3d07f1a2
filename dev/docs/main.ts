import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { root } from '../setup/place.mjs'
import { printedPages } from './pages.ts'

// `node_modules/.bin/node dev/docs/main.ts` writes every page that is printed from a table. Run it after a change of settings or limits.
for (const { path, text } of printedPages) {
  await writeFile(join(root, path), text())
  process.stdout.write(`${path}\n`)
}
