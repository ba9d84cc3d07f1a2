/** What somebody pasted to sign in: the token of a one-time link, or an API key. */
export type Pasted =
  | { readonly kind: 'token'; readonly token: string }
  | { readonly kind: 'key'; readonly key: string }

/** Reads what was pasted: a whole sign-in link yields its token, anything else is taken for a key. Undefined if empty. */
export function readPasted(text: string): Pasted | undefined {
  const trimmed = text.trim()
  if (trimmed === '') return undefined
  const token = tokenOfLink(trimmed)
  return token === undefined ? { kind: 'key', key: trimmed } : { kind: 'token', token }
}

/** The token behind the `#` of a sign-in link; undefined if there is none. */
export function tokenOfLink(link: string): string | undefined {
  const token = /\/ui\/sign-in#(.+)$/.exec(link)?.[1]
  return token === undefined ? undefined : decodeURIComponent(token)
}

/** Where to go after signing in: a page of the dashboard, never another site. */
export function safeNext(next: unknown): string {
  return typeof next === 'string' && /^\/(?![/\\])/.test(next) && !next.startsWith('/sign-in') ? next : '/'
}
