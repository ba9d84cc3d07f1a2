// `npm run release`: turns the files of `.changeset/` into a section of CHANGELOG.md, and raises the one version.
import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { root } from '../setup/place.mjs'
import { addSection, parseChange } from './release.ts'

function main(): void {
  const folder = join(root, '.changeset')
  const names = readdirSync(folder).filter((name) => name.endsWith('.md') && name !== 'README.md')
  if (names.length === 0) throw new Error('there is nothing to release: .changeset/ holds no change')
  // Read before the tool deletes them.
  const changes = names.map((name) => parseChange(name, readFileSync(join(folder, name), 'utf8')))

  execFileSync(join(root, 'node_modules/.bin/changeset'), ['version'], { cwd: root, stdio: 'inherit' })
  const { version } = JSON.parse(readFileSync(join(root, 'server/package.json'), 'utf8')) as {
    version: string
  }
  // The root is no package of the tool's, but `npm start` prints its version.
  const manifest = join(root, 'package.json')
  writeFileSync(
    manifest,
    readFileSync(manifest, 'utf8').replace(/"version": "[^"]+"/, `"version": "${version}"`),
  )
  execFileSync('npm', ['install', '--package-lock-only', '--prefer-offline'], { cwd: root, stdio: 'inherit' })

  const changelog = join(root, 'CHANGELOG.md')
  const day = new Date().toISOString().slice(0, 10)
  writeFileSync(changelog, addSection(readFileSync(changelog, 'utf8'), { version, day, changes }))
  process.stdout.write(`${version}: look at the changes, commit them, tag them v${version}\n`)
}

main()
