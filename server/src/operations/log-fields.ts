/** Members that may hold a credential or a payload, in any spelling of case, `-` and `_`, at any depth. */
const secretNames = [
  'authorization',
  'proxyAuthorization',
  'cookie',
  'setCookie',
  'password',
  'passphrase',
  'secret',
  'clientSecret',
  'token',
  'accessToken',
  'refreshToken',
  'ticket',
  'apiKey',
  'privateKey',
  'jwt',
  'credential',
  'credentials',
  'properties',
  'payload',
  'body',
  'headers',
  'rawHeaders',
  'enriched',
] as const
const secret: ReadonlySet<string> = new Set(secretNames.map((name) => name.toLowerCase()))

const isSecret = (name: string): boolean => secret.has(name.replaceAll(/[-_]/g, '').toLowerCase())

const spellings = secretNames.map((name) => name.replaceAll(/[A-Z]/g, (letter) => `[-_]?${letter}`)).join('|')
/** The same in a finished line, because fields that were bound by `child` do not pass `cleanFields`. */
const secretMember = new RegExp(`"(${spellings})":"(?:[^"\\\\]|\\\\.)*"`, 'gi')

/** Bearer and JSON web tokens, our own keys, passwords in URLs and credentials in queries. */
const secretText =
  /\bbearer\s+[^\s"\\]+|\beyJ[\w-]+\.[\w-]+\.[\w-]*|\bpulse_[0-9A-Za-z]{43}\b|(?<=pulse_session=)[0-9A-Za-z]+|(?<=:\/\/[^/\s:@"]*:)[^@/\s"]+(?=@)|(?<=[?&#](?:ticket|token|key)=)[^&\s"\\]+/gi

/** A finished line without the credentials that stand inside its texts, whoever put them there. */
export const cleanLine = (line: string): string =>
  line.replace(secretMember, '"$1":"[redacted]"').replace(secretText, '[redacted]')

const charsMax = 4_096
const depthMax = 4
const membersMax = 50

const cleanText = (text: string): string =>
  text.length > charsMax ? `${text.slice(0, charsMax)}… (${text.length} characters)` : text

function cleanError(error: Error, depth: number): Record<string, unknown> {
  const code = (error as { code?: unknown }).code
  return {
    class: error.name,
    message: cleanText(error.message),
    ...(typeof code === 'string' ? { code } : {}),
    ...(error.stack === undefined ? {} : { stack: cleanText(error.stack) }),
    ...(error.cause instanceof Error && depth < depthMax
      ? { cause: cleanError(error.cause, depth + 1) }
      : {}),
  }
}

function cleanValue(value: unknown, depth: number): unknown {
  if (typeof value === 'string') return cleanText(value)
  if (value instanceof Error) return cleanError(value, depth)
  if (typeof value !== 'object' || value === null || value instanceof Date) return value
  if (depth >= depthMax) return '[deeper]'
  if (Array.isArray(value)) return value.slice(0, membersMax).map((item) => cleanValue(item, depth + 1))
  return Object.fromEntries(
    Object.entries(value)
      .slice(0, membersMax)
      .map(([name, member]) => [name, isSecret(name) ? '[redacted]' : cleanValue(member, depth + 1)]),
  )
}

/**
 * What may be written of a line's fields: no credentials, no payloads, nothing endless. An error, given as `err`,
 * becomes `error: {class, message, code, stack, cause}`.
 */
export function cleanFields(fields: Record<string, unknown>): Record<string, unknown> {
  const clean: Record<string, unknown> = {}
  for (const name in fields) {
    const value = fields[name]
    // Most lines hold a few numbers and short names; only what could hide something takes the long way.
    if (isSecret(name)) clean[name] = '[redacted]'
    else clean[name === 'err' ? 'error' : name] = typeof value === 'number' ? value : cleanValue(value, 0)
  }
  return clean
}
