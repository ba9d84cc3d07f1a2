import { setTimeout as sleep } from 'node:timers/promises'
import { signWebhook, webhookHeaders } from '@pulse/protocol/webhook-signature'

const timeoutMs = 15_000
const attemptsMax = 5
const waitMs = 500

/** What became of a request: the status of its answer, or why there was none. */
export type Forwarded =
  | { readonly status: number; readonly attempts: number }
  | { readonly error: string; readonly attempts: number }

/** Sends a request on as it came, once. */
export async function forwardOnce(
  url: string,
  request: { readonly headers: Readonly<Record<string, string>>; readonly body: string },
  signal: AbortSignal,
): Promise<Forwarded> {
  try {
    const answer = await fetch(url, {
      ...{ method: 'POST', headers: request.headers, body: request.body, redirect: 'manual' },
      signal: AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]),
    })
    await answer.body?.cancel()
    return { status: answer.status, attempts: 1 }
  } catch (error) {
    if (signal.aborted) throw signal.reason
    const { cause, message } = error as Error
    return { error: cause instanceof Error && cause.message ? cause.message : message, attempts: 1 }
  }
}

/** Sends an event as the server's webhooks do, signed, a few times if need be. Rejects when `signal` aborts. */
export async function forwardEvent(
  url: string,
  event: { readonly id: string; readonly body: string; readonly secret: string },
  signal: AbortSignal,
): Promise<Forwarded> {
  const { id, body, secret } = event
  for (let attempts = 1; ; attempts++) {
    const timestamp = String(Math.floor(Date.now() / 1_000))
    const headers = {
      'content-type': 'application/json',
      [webhookHeaders.id]: id,
      [webhookHeaders.timestamp]: timestamp,
      [webhookHeaders.signature]: await signWebhook(secret, { id, timestamp, body }),
    }
    const outcome = { ...(await forwardOnce(url, { headers, body }, signal)), attempts }
    if (isTaken(outcome) || attempts === attemptsMax) return outcome
    await sleep(waitMs * 2 ** (attempts - 1), undefined, { signal })
  }
}

/** Whether the other side has taken it. */
export const isTaken = (outcome: Forwarded): boolean =>
  'status' in outcome && outcome.status >= 200 && outcome.status < 300
