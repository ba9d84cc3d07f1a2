import { type Answer, readAnswer } from './answer.ts'

/** How long nobody must have typed until the server is asked. */
const debounceMs = 350
const answerMsMax = 10_000
/** A server that says nothing of when to come back is asked again after this long. */
const retrySecondsMin = 1

interface NameCheckNeeds {
  /** Each answer as it comes; only those to what stands in the field now. `ms`: how long the server took. */
  readonly told: (answer: Answer, ms?: number) => void
}

/** Asks for the name in the field as it is typed. Of several questions under way only the last one's answer is told. */
export class NameCheck {
  readonly #told: NameCheckNeeds['told']
  #timer: ReturnType<typeof setTimeout> | undefined
  #running: AbortController | undefined

  constructor({ told }: NameCheckNeeds) {
    this.#told = told
  }

  /** The field has changed: asks after a pause, or at once. */
  typed(text: string, { atOnce = false } = {}): void {
    clearTimeout(this.#timer)
    this.#running?.abort()
    const username = text.trim()
    if (username === '') {
      this.#told({ kind: 'idle' })
      return
    }
    if (atOnce) void this.#ask(username)
    else this.#timer = setTimeout(() => void this.#ask(username), debounceMs)
  }

  async #ask(username: string): Promise<void> {
    const running = new AbortController()
    this.#running = running
    this.#told({ kind: 'checking' })
    const startedMs = performance.now()
    const answer = await ask(username, running.signal)
    if (running.signal.aborted) return
    this.#told(answer, performance.now() - startedMs)
    if (answer.kind !== 'error') return
    // The field shows the truth again as soon as there is one, without another key.
    const seconds = Math.max(retrySecondsMin, answer.retryAfterSeconds ?? 5)
    this.#timer = setTimeout(() => void this.#ask(username), seconds * 1_000)
  }
}

async function ask(username: string, signal: AbortSignal): Promise<Answer> {
  try {
    const answer = await fetch(`/api/check-username?username=${encodeURIComponent(username)}`, {
      signal: AbortSignal.any([signal, AbortSignal.timeout(answerMsMax)]),
    })
    return readAnswer(answer.status, await answer.json().catch(() => undefined))
  } catch {
    return { kind: 'error', why: 'Error checking username. The server does not answer.' }
  }
}

/** Free names that are like a taken one; none if they cannot be had. */
export async function suggestionsFor(username: string): Promise<readonly string[]> {
  try {
    const answer = await fetch(`/api/names/suggestions?username=${encodeURIComponent(username)}&count=5`)
    const { data } = (await answer.json()) as { data?: unknown }
    return answer.ok && Array.isArray(data) ? data.filter((name) => typeof name === 'string') : []
  } catch {
    return []
  }
}
