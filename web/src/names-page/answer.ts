/** What the page says of a name. */
export type Answer =
  | { readonly kind: 'idle' }
  | { readonly kind: 'checking' }
  | { readonly kind: 'available'; readonly username: string; readonly foundBy: 'filter' | 'database' }
  | { readonly kind: 'taken'; readonly username: string; readonly foundBy: 'database' }
  | { readonly kind: 'invalid'; readonly why: string }
  /** Too many were asked for: nobody is asked again before that time is over. */
  | { readonly kind: 'limited'; readonly retryAfterSeconds: number }
  /** Nobody could tell. Without a time to come back it stays so, however often it is asked. */
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
/** A server that says nothing of when to come back is asked again after this long. */
const retrySeconds = 5
/** Longer than any wait that somebody sits through; a timer of many days would run out at once. */
const retrySecondsMax = 3_600

/** What is answered by nobody, for whatever reason. */
export const noAnswer: Answer = {
  ...{ kind: 'error', why: `${unknown} The server does not answer.` },
  retryAfterSeconds: retrySeconds,
}

/**
 * Reads an answer of `/api/check-username`. Only a clear yes is one: whatever is not understood is an error. What is
 * wrong with the question (4xx) will be so the next time; an outage, a limit, or a page of somebody between may pass.
 */
export function readAnswer(status: number, body: unknown): Answer {
  const { available, username, source, code, detail, retry_after } = (body ?? {}) as Body
  const why = typeof detail === 'string' ? detail : ''
  if (status === 200 && typeof username === 'string') {
    if (available === true)
      return { kind: 'available', username, foundBy: source === undefined ? 'filter' : 'database' }
    if (available === false) return { kind: 'taken', username, foundBy: 'database' }
  }
  if (code === 'invalid_name' || code === 'invalid_request')
    return { kind: 'invalid', why: why || 'This is no valid name.' }
  const seconds = Number(retry_after)
  const retryAfterSeconds = seconds > 0 ? Math.min(seconds, retrySecondsMax) : retrySeconds
  if (status === 429) return { kind: 'limited', retryAfterSeconds }
  const error = { kind: 'error', why: why === '' ? unknown : `${unknown} ${why}` } as const
  return status >= 400 && status < 500 ? error : { ...error, retryAfterSeconds }
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
    case 'limited':
      return 'Too many names were asked for in a short time.'
    case 'invalid':
    case 'error':
      return answer.why
  }
}

/** When the name is checked again, for people. */
export function waitInWords(ms: number): string {
  const seconds = Math.max(1, Math.ceil(ms / 1_000))
  return `Checked again in ${seconds < 100 ? `${seconds} s` : `${Math.ceil(seconds / 60)} min`}.`
}
