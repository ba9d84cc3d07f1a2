import { readdir, readFile, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { brotliCompress, gzip } from 'node:zlib'
import type { Plugin } from 'vite'

const compressions = { '.br': promisify(brotliCompress), '.gz': promisify(gzip) }

// Below this, the file with its headers fits into one packet either way.
const bytesMin = 1_000

/**
 * Writes each text of the build once more in Brotli and gzip, as the server hands them out: compressed once, at the
 * best setting, and not again for each visitor.
 */
export function precompress(): Plugin {
  let folder = ''
  return {
    name: 'precompress',
    apply: 'build',
    configResolved: ({ root, build }) => {
      folder = resolve(root, build.outDir)
    },
    // After the last file is written, copies of `public` too.
    closeBundle: async () => {
      const names = await readdir(folder, { recursive: true })
      await Promise.all(
        names.filter((name) => /\.(js|css|svg)$/.test(name)).map((name) => compress(join(folder, name))),
      )
    },
  }
}

async function compress(file: string): Promise<void> {
  const text = await readFile(file)
  if (text.length < bytesMin) return
  await Promise.all(
    Object.entries(compressions).map(async ([ending, by]) => writeFile(`${file}${ending}`, await by(text))),
  )
}
