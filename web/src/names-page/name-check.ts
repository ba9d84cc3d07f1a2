import { type Answer, noAnswer, readAnswer } from './answer.ts'

/** How long nobody must have typed until the server is asked. */
const debounceMs = 350
const answerMsMax = 10_000

interface NameCheckNeeds {
  /**
   * Each answer as it comes; only those to what stands in the field now. `tookMs`: how long the server took. `againMs`: in
   * how long it is asked again by itself.
   */
  readonly told: (
    answer: Answer,
    times: { readonly tookMs?: number | undefined; readonly againMs?: number | undefined },
  ) => void
}

/** Asks for the name in the field as it is typed. Of several questions under way only the last one's answer is told. */
export class NameCheck {
  readonly #told: NameCheckNeeds['told']
  #timer: ReturnType<typeof setTimeout> | undefined
  #running: AbortController | undefined
  /** Before this time of `performance.now()` the server refuses whatever is asked. */
  #limitedUntilMs = 0

  constructor({ told }: NameCheckNeeds) {
    this.#told = told
  }

  /** The field has changed: asks after a pause, or at once. */
  typed(text: string, { atOnce = false } = {}): void {
    clearTimeout(this.#timer)
    this.#running?.abort()
    const username = text.trim()
    const limitedMs = this.#limitedUntilMs - performance.now()
    if (username === '') this.#told({ kind: 'idle' }, {})
    else if (atOnce) void this.#ask(username)
    else if (limitedMs > 0) this.#tell(username, { kind: 'limited', retryAfterSeconds: limitedMs / 1_000 })
    else this.#timer = setTimeout(() => void this.#ask(username), debounceMs)
  }

  async #ask(username: string): Promise<void> {
    const running = new AbortController()
    this.#running = running
    this.#told({ kind: 'checking' }, {})
    const startedMs = performance.now()
    const answer = await ask(username, running.signal)
    if (running.signal.aborted) return
    const tookMs = performance.now() - startedMs
    if (answer.kind === 'limited')
      this.#limitedUntilMs = startedMs + tookMs + answer.retryAfterSeconds * 1_000
    this.#tell(username, answer, tookMs)
  }

  /** Tells an answer, and asks again where it may be another one later: the field shows the truth as soon as there is one, without another key. */
  #tell(username: string, answer: Answer, tookMs?: number): void {
    const againMs = 'retryAfterSeconds' in answer ? answer.retryAfterSeconds * 1_000 : undefined
    this.#told(answer, { tookMs, againMs })
    if (againMs !== undefined) this.#timer = setTimeout(() => void this.#ask(username), againMs)
  }
}

async function ask(username: string, signal: AbortSignal): Promise<Answer> {
  try {
    const answer = await fetch(`/api/check-username?${new URLSearchParams({ username })}`, {
      signal: AbortSignal.any([signal, AbortSignal.timeout(answerMsMax)]),
    })
    return readAnswer(answer.status, await answer.json().catch(() => undefined))
  } catch {
    return noAnswer
  }
}

/** Free names that are like a taken one; none if they cannot be had. */
export async function suggestionsFor(username: string): Promise<readonly string[]> {
  try {
    const query = new URLSearchParams({ username, count: '5' })
    const answer = await fetch(`/api/names/suggestions?${query}`)
    const { data } = (await answer.json()) as { data?: unknown }
    return answer.ok && Array.isArray(data) ? data.filter((name) => typeof name === 'string') : []
  } catch {
    return []
  }
}
