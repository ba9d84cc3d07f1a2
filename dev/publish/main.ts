// `npm run build -w client`: the package `@pulse/client` as it is published, in `client/dist`.
import { join } from 'node:path'
import { root } from '../setup/place.mjs'
import { buildClientPackage } from './client-package.ts'

const out = join(root, 'client/dist')
await buildClientPackage(root, out)
process.stdout.write(`${out}: publish it with \`npm publish ${out}\`\n`)
