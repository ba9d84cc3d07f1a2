import type { Logger } from 'pino'
import { Counter, Gauge, Histogram, type Registry } from 'prom-client'
import type { Failure, Outcome } from './attempts.ts'
import type { WebhookCounts } from './webhook-store.ts'

/** Every fact about webhooks, one function each. */
export interface WebhookReport {
  /** Somebody has made, changed or deleted one. */
  changed(
    how: 'created' | 'changed' | 'deleted',
    webhook: { id: string; subscriber: string },
    by: string,
  ): void
  /** This server delivers it from now on. */
  claimed(id: string, epoch: number): void
  /** It does so no more. */
  released(id: string): void
  attempted(outcome: Outcome, ms: number): void
  taken(): void
  failed(id: string, eventId: string, failure: Failure): void
  givenUp(id: string, eventId: string, attempts: number): void
  /** The receiver answered 410. */
  gone(id: string): void
  /** What lay between cannot be sent any more. */
  gap(id: string, gap: { from: string; to: string; reason: string }): void
  /** No attempt to tell the receiver of a gap succeeded. */
  gapGivenUp(id: string, attempts: number): void
  /** The receiver does not take this event; those of its key are parked. */
  blocked(id: string, eventId: string): void
  troubled(id: string | undefined, error: unknown): void
  counted(counts: WebhookCounts): void
}

/**
 * Makes the report. Metrics: `pulse_webhooks{status}`, `pulse_webhooks_held`, `pulse_webhook_parked`, `pulse_webhook_attempts_total{outcome}`,
 * `pulse_webhook_attempt_seconds`, `pulse_webhook_taken_total`, `pulse_webhook_given_up_total`.
 */
export function createWebhookReport({ log, metrics }: { log: Logger; metrics: Registry }): WebhookReport {
  const { webhooks, held, parked, attempts, seconds, taken, givenUp } = createMetrics([metrics])
  return {
    changed: (how, { id, subscriber }, by) =>
      log.info({ audit: true, by, webhook: id, subscriber_id: subscriber }, `webhook ${how}`),
    claimed: (id, epoch) => {
      held.inc()
      log.info({ webhook: id, epoch }, 'this server delivers a webhook')
    },
    released: (id) => {
      held.dec()
      log.info({ webhook: id }, 'this server no longer delivers a webhook')
    },
    attempted: (outcome, ms) => {
      if (outcome.kind === 'left') return
      const name = outcome.kind === 'answered' ? `${Math.floor(outcome.status / 100)}xx` : 'none'
      attempts.inc({ outcome: name })
      seconds.observe(ms / 1_000)
    },
    taken: () => taken.inc(),
    failed: (webhook, event_id, { errorClass, message }) =>
      log.debug({ webhook, event_id, error_class: errorClass }, `an attempt failed: ${message}`),
    givenUp: (webhook, event_id, tries) => {
      givenUp.inc()
      log.warn({ webhook, event_id, attempts: tries }, 'an event that no receiver took is a dead letter')
    },
    gone: (webhook) => log.warn({ webhook }, 'a webhook is paused: its receiver answered 410'),
    gap: (webhook, gap) => log.warn({ webhook, ...gap }, 'events of a webhook cannot be sent any more'),
    gapGivenUp: (webhook, tries) =>
      log.warn({ webhook, attempts: tries }, 'the receiver of a webhook cannot be told of a gap'),
    blocked: (webhook, event_id) =>
      log.warn(
        { webhook, event_id },
        'a receiver does not take an event; those of its key wait in the database',
      ),
    troubled: (webhook, err) => log.warn({ webhook, err }, 'webhooks are in trouble; it is tried again'),
    counted: (counts) => {
      for (const [status, count] of Object.entries(counts.byStatus)) webhooks.set({ status }, count)
      parked.set(counts.parked)
    },
  }
}

function createMetrics(registers: Registry[]) {
  const webhooks = new Gauge({
    name: 'pulse_webhooks',
    help: 'Webhooks of the installation, by status.',
    labelNames: ['status'],
    registers,
  })
  const held = new Gauge({
    name: 'pulse_webhooks_held',
    help: 'Webhooks that this server delivers.',
    registers,
  })
  const parked = new Gauge({
    name: 'pulse_webhook_parked',
    help: 'Events, over the installation, that wait behind one of their key which its receiver does not take.',
    registers,
  })
  const attempts = new Counter({
    name: 'pulse_webhook_attempts_total',
    help: 'Requests to receivers, by the class of the answer; `none`: there was none.',
    labelNames: ['outcome'],
    registers,
  })
  const seconds = new Histogram({
    name: 'pulse_webhook_attempt_seconds',
    help: 'From the start of a request to the end of its answer.',
    buckets: [0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 15],
    registers,
  })
  const taken = new Counter({
    name: 'pulse_webhook_taken_total',
    help: 'Events that receivers have taken.',
    registers,
  })
  const givenUp = new Counter({
    name: 'pulse_webhook_given_up_total',
    help: 'Events that became dead letters because no attempt succeeded.',
    registers,
  })
  return { webhooks, held, parked, attempts, seconds, taken, givenUp }
}
