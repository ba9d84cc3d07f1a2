/** One link of a page, as written and as resolved. */
export interface Link {
  readonly line: number
  readonly target: string
}

/** Links to files of the repository; those to other sites, and what stands in code, are left out. */
export function linksOf(markdown: string): readonly Link[] {
  let inCode = false
  return markdown.split('\n').flatMap((text, index) => {
    if (/^\s*(```|~~~)/.test(text)) {
      inCode = !inCode
      return []
    }
    if (inCode) return []
    const links = [...text.replaceAll(/`[^`]*`/g, 'code').matchAll(/\]\(([^)\s]+)\)/g)]
    return links
      .map(([, target = '']) => ({ line: index + 1, target }))
      .filter(({ target }) => !/^[a-z][a-z\d+.-]*:/i.test(target))
  })
}

/** The names by which headings of a page can be linked, as GitHub makes them. */
export function anchorsOf(markdown: string): ReadonlySet<string> {
  const anchors = new Set<string>()
  let inCode = false
  for (const line of markdown.split('\n')) {
    if (/^\s*(```|~~~)/.test(line)) inCode = !inCode
    const title = inCode ? undefined : /^#{1,6}\s+(.*)$/.exec(line)?.[1]
    if (title === undefined) continue
    const plain = title
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N}\s_-]/gu, '')
      .replaceAll(/\s/g, '-')
    let name = plain
    for (let copy = 1; anchors.has(name); copy++) name = `${plain}-${copy}`
    anchors.add(name)
  }
  return anchors
}
