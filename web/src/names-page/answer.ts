/** What the page says of a name. */
export type Answer =
  | { readonly kind: 'idle' }
  | { readonly kind: 'checking' }
  | { readonly kind: 'available'; readonly username: string; readonly foundBy: 'filter' | 'database' }
  | { readonly kind: 'taken'; readonly username: string; readonly foundBy: 'database' }
  | { readonly kind: 'invalid'; readonly why: string }
  | { readonly kind: 'error'; readonly why: string; readonly retryAfterSeconds?: number }

interface Body {
  readonly available?: unknown
  readonly username?: unknown
  readonly source?: unknown
  readonly code?: unknown
  readonly detail?: unknown
  readonly retry_after?: unknown
}

const unknown = 'Error checking username.'

/** Reads an answer of `/api/check-username`. Only a clear yes is one: whatever is not understood is an error. */
export function readAnswer(status: number, body: unknown): Answer {
  const { available, username, source, code, detail, retry_after } = (body ?? {}) as Body
  const why = typeof detail === 'string' ? detail : ''
  if (status === 200 && typeof username === 'string') {
    if (available === true)
      return { kind: 'available', username, foundBy: source === undefined ? 'filter' : 'database' }
    if (available === false) return { kind: 'taken', username, foundBy: 'database' }
  }
  if (status === 422 && code === 'invalid_name')
    return { kind: 'invalid', why: why || 'This is no valid name.' }
  const seconds = Number(retry_after)
  return {
    kind: 'error',
    why: why === '' ? unknown : `${unknown} ${why}`,
    ...(seconds > 0 ? { retryAfterSeconds: seconds } : {}),
  }
}

/** The answer as a sentence. */
export function sentenceOf(answer: Answer): string {
  switch (answer.kind) {
    case 'idle':
      return ''
    case 'checking':
      return 'Checking…'
    case 'available':
      return `${answer.username} is available!`
    case 'taken':
      return `Sorry, ${answer.username} is already taken.`
    case 'invalid':
    case 'error':
      return answer.why
  }
}
