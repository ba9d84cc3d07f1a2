import { errorOfAnswer, PulseError, parseJson } from './pulse-error.ts'

/** Secret that stands behind `Authorization: Bearer`, or a function that fetches the current one. */
export type Credential = string | (() => string | undefined | Promise<string | undefined>)

/** How a call that failed for a passing reason is repeated. Waits grow exponentially with full jitter. */
export interface RetryOptions {
  /** How often a call is repeated after the first attempt; 0 turns repeating off. Default 3. */
  readonly retriesMax: number
  /** Upper end of the first wait; default 200. */
  readonly waitMsBase: number
  /** Upper end of any wait; default 10,000. */
  readonly waitMsMax: number
  /** A server that asks for a longer wait than this gets none: the call fails at once. Default 60,000. */
  readonly retryAfterMsMax: number
}

/** What every call takes. */
export interface CallOptions {
  /** Ends the call, also while it waits to repeat; the call then rejects with the signal's reason. */
  readonly signal?: AbortSignal | undefined
  /** Time for each attempt; overrides the client's. */
  readonly timeoutMsMax?: number | undefined
  /** Overrides the client's. */
  readonly retriesMax?: number | undefined
}

/** One call as the transport sees it. */
export interface Call {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'
  readonly path: string
  readonly query?: URLSearchParams | undefined
  readonly body?: unknown
  /** The body as JSON text already; in the place of `body`. */
  readonly text?: string | undefined
  /** Headers of this call, besides those of every call; each attempt has the same. */
  readonly headers?: Readonly<Record<string, string>> | undefined
  /** True if doing it twice is as good as once: it is then repeated also when its fate is unknown. */
  readonly repeatable: boolean
  /** Statuses that are answers and not failures, besides 2xx. */
  readonly answers?: readonly number[] | undefined
}

/** An answer: its status and its parsed body. */
export interface Answer<Body> {
  readonly status: number
  readonly body: Body
}

/** Sends calls, repeats those that failed for a passing reason. */
export interface Transport {
  /** Sends a call and gives its answer. Throws PulseError, or the signal's reason. */
  send<Body>(call: Call, options?: CallOptions): Promise<Answer<Body>>
  /** Waits before attempt number `attempt` + 1 (from 0) as the options say; false if there shall be none. */
  waitToRepeat(attempt: number, retryAfter: number | undefined, options?: CallOptions): Promise<boolean>
}

export interface TransportNeeds {
  readonly url: string
  readonly credential: Credential | undefined
  readonly fetch: typeof globalThis.fetch
  readonly timeoutMsMax: number
  readonly retry: RetryOptions
}

/** Makes the transport of a client over `fetch`. */
export function createTransport(needs: TransportNeeds): Transport {
  const base = needs.url.replace(/\/+$/, '')

  async function waitToRepeat(attempt: number, retryAfter: number | undefined, options: CallOptions = {}) {
    const { retriesMax, waitMsBase, waitMsMax, retryAfterMsMax } = needs.retry
    const askedMs = (retryAfter ?? 0) * 1000
    if (attempt >= (options.retriesMax ?? retriesMax) || askedMs > retryAfterMsMax) return false
    // Jitter is added to what the server asks for, never taken from it: otherwise everyone that it refused
    // comes back in the same instant.
    const jitterMs = Math.random() * Math.min(waitMsMax, waitMsBase * 2 ** attempt)
    await sleep(askedMs + jitterMs, options.signal)
    return true
  }

  async function send<Body>(call: Call, options: CallOptions = {}): Promise<Answer<Body>> {
    for (let attempt = 0; ; attempt++) {
      try {
        return await sendOnce<Body>(needs, base, call, options)
      } catch (error) {
        if (!(error instanceof PulseError) || !mayRepeat(call, error)) throw error
        if (!(await waitToRepeat(attempt, error.retryAfter, options))) throw error
      }
    }
  }

  return { send, waitToRepeat }
}

// A refusal with 429 was never begun. Any other failure may have done its work before it was lost.
const mayRepeat = (call: Call, error: PulseError) =>
  error.retryable && (call.repeatable || error.status === 429)

async function sendOnce<Body>(
  needs: TransportNeeds,
  base: string,
  call: Call,
  options: CallOptions,
): Promise<Answer<Body>> {
  options.signal?.throwIfAborted()
  const secret = typeof needs.credential === 'function' ? await needs.credential() : needs.credential
  const headers: Record<string, string> = { accept: 'application/json', ...call.headers }
  if (secret !== undefined) headers.authorization = `Bearer ${secret}`
  const text = call.text ?? (call.body === undefined ? undefined : JSON.stringify(call.body))
  if (text !== undefined) headers['content-type'] = 'application/json'
  const query = call.query && call.query.size > 0 ? `?${call.query}` : ''
  const timeoutMs = options.timeoutMsMax ?? needs.timeoutMsMax
  const end = new AbortController()
  const timer = setTimeout(() => end.abort(timedOut(timeoutMs)), timeoutMs)
  const onAbort = () => end.abort(options.signal?.reason)
  options.signal?.addEventListener('abort', onAbort, { once: true })
  try {
    const response = await needs.fetch(`${base}${call.path}${query}`, {
      method: call.method,
      headers,
      signal: end.signal,
      // A redirect comes from something in front of the server. Followed, it would drop the credential, turn a POST
      // into a GET, or send the events to another host.
      redirect: 'manual',
      ...(text === undefined ? {} : { body: text }),
    })
    return readAnswer<Body>(response, await response.text(), call)
  } catch (error) {
    if (error instanceof PulseError) throw error
    if (end.signal.aborted) throw end.signal.reason
    throw noAnswer(base, error)
  } finally {
    clearTimeout(timer)
    options.signal?.removeEventListener('abort', onAbort)
  }
}

function readAnswer<Body>(response: Response, text: string, call: Call): Answer<Body> {
  const wanted = response.ok || call.answers?.includes(response.status)
  if (!wanted) throw errorOfAnswer(response, text)
  if (text === '') return { status: response.status, body: undefined as Body }
  const body = parseJson(text)
  const problem = typeof body !== 'object' || body === null || (!response.ok && 'code' in body)
  if (problem) throw errorOfAnswer(response, text)
  return { status: response.status, body: body as Body }
}

const timedOut = (ms: number) => new PulseError({ code: 'timeout', detail: `No answer within ${ms} ms.` })

function noAnswer(base: string, error: unknown): PulseError {
  // fetch hides why in `cause`; the system's code is what a person can act on.
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error
  const code = cause instanceof Error && 'code' in cause ? String(cause.code) : undefined
  const why = code ?? (cause instanceof Error ? cause.message : String(cause))
  return new PulseError({
    code: 'network',
    detail: `No answer from ${base || 'the server'}: ${why}`,
    cause: error,
  })
}

function sleep(ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason)
    const onAbort = () => {
      clearTimeout(timer)
      reject(signal?.reason)
    }
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', onAbort)
      resolve()
    }, ms)
    signal?.addEventListener('abort', onAbort, { once: true })
  })
}
