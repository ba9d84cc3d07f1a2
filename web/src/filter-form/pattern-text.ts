const lineCharsMax = 56

/** Writes a pattern as JSON for people: what fits into one line stays in one, `"numeric": [">", 100]`. */
export function formatPattern(value: unknown, indent = ''): string {
  const line = inLine(value)
  if (typeof value !== 'object' || value === null || indent.length + line.length <= lineCharsMax) return line
  const deeper = `${indent}  `
  const parts = Array.isArray(value)
    ? value.map((each) => formatPattern(each, deeper))
    : Object.entries(value).map(([name, each]) => `${JSON.stringify(name)}: ${formatPattern(each, deeper)}`)
  const [open, close] = Array.isArray(value) ? '[]' : '{}'
  return `${open}\n${parts.map((part) => deeper + part).join(',\n')}\n${indent}${close}`
}

function inLine(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(inLine).join(', ')}]`
  if (typeof value !== 'object' || value === null) return JSON.stringify(value)
  const members = Object.entries(value).map(([name, each]) => `${JSON.stringify(name)}: ${inLine(each)}`)
  return members.length === 0 ? '{}' : `{ ${members.join(', ')} }`
}
