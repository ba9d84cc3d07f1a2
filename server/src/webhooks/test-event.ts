import { randomUUID } from 'node:crypto'
import type { WebhookTest } from '@pulse/protocol/webhook'
import type { Outcome } from './attempts.ts'
import type { Sender } from './sender.ts'
import type { WebhookRow } from './webhook-store.ts'

/** Sends one event that stands in no log to a receiver, once, and says what came of it. */
export async function sendTest(
  sender: Sender,
  { url, secret, subscriber, shown }: WebhookRow,
): Promise<WebhookTest> {
  const id = randomUUID()
  const body = JSON.stringify({
    ...{ event_id: id, event_type: 'pulse.webhook.test', user_id: subscriber },
    ...{ timestamp: new Date().toISOString(), properties: { webhook: shown.id } },
    ...{ source: 'pulse', schema_version: 1, position: shown.position },
  })
  const startedAt = performance.now()
  const outcome = await sender.send({ url, secret, id, body })
  return { ...resultOf(outcome), duration_ms: Math.round(performance.now() - startedAt) }
}

function resultOf(outcome: Outcome): Omit<WebhookTest, 'duration_ms'> {
  switch (outcome.kind) {
    case 'answered': {
      const { status } = outcome
      const delivered = status >= 200 && status < 300
      return { delivered, status, error: delivered ? null : `the receiver answered ${status}` }
    }
    case 'failed':
      return { delivered: false, status: null, error: outcome.failure.message }
    case 'left':
      return { delivered: false, status: null, error: 'it was called off' }
  }
}
