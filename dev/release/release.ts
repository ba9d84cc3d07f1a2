/** A change as its author described it: how big it is, and what it means for those who run Pulse. */
export interface Change {
  readonly size: 'major' | 'minor' | 'patch'
  readonly text: string
}

const headings = { major: 'Breaking', minor: 'New', patch: 'Mended' } as const

/** Reads one file of `.changeset/`. Throws an Error when it has no front matter with a size. */
export function parseChange(name: string, text: string): Change {
  const [, matter = '', body = ''] = /^---\n(.*?)\n---\n(.*)$/s.exec(text) ?? []
  const sizes = (['major', 'minor', 'patch'] as const).filter((size) => matter.includes(`: ${size}`))
  const [size] = sizes
  if (size === undefined) throw new Error(`${name} does not say how big the change is`)
  return { size, text: body.trim() }
}

/** Puts a section for this version above the older ones, the biggest changes first. */
export function addSection(
  changelog: string,
  section: { readonly version: string; readonly day: string; readonly changes: readonly Change[] },
): string {
  const groups = (['major', 'minor', 'patch'] as const).flatMap((size) => {
    const texts = section.changes.filter((change) => change.size === size).map(({ text }) => asItem(text))
    return texts.length === 0 ? [] : [`### ${headings[size]}\n\n${texts.join('\n')}`]
  })
  const written = `## ${section.version} (${section.day})\n\n${groups.join('\n\n')}\n`
  const older = changelog.indexOf('\n## ')
  if (older < 0) return `${changelog.trimEnd()}\n\n${written}`
  return `${changelog.slice(0, older + 1)}${written}\n${changelog.slice(older + 1)}`
}

function asItem(text: string): string {
  return `- ${text.replaceAll('\n', '\n  ')}`
}
