import type { NewWebhook, Webhook, WebhookBody, WebhookChange, WebhookTest } from '@pulse/protocol/webhook'
import type { Page } from './answers.ts'
import type { CallOptions, Transport } from './transport.ts'

export type { NewWebhook, Webhook, WebhookBody, WebhookChange, WebhookTest } from '@pulse/protocol/webhook'
export { verifyWebhook, type WebhookVerdict } from '@pulse/protocol/webhook-signature'

/** Which webhooks to list. */
export interface WebhookQuery {
  readonly subscriber_id?: string | undefined
  readonly cursor?: string | undefined
  readonly limit?: number | undefined
}

/** Addresses that the events of subscribers are sent to. Every method rejects with PulseError. */
export interface Webhooks {
  /**
   * Makes a webhook; its secret is in the answer and never again. Rejects with `invalid_request` for an address that the
   * server does not send to, `invalid_filter`, `filter_too_wide`, or `conflict` if the subscriber has too many.
   */
  create(webhook: WebhookBody, options?: CallOptions): Promise<NewWebhook>
  /** One page, oldest first. */
  list(query?: WebhookQuery, options?: CallOptions): Promise<Page<Webhook>>
  /** One webhook. Rejects with `not_found`. */
  get(id: string, options?: CallOptions): Promise<Webhook>
  /** Changes, pauses or resumes it, within two seconds. Rejects like `create`, or with `not_found`. */
  change(id: string, change: WebhookChange, options?: CallOptions): Promise<Webhook>
  /** Deletes it. Rejects with `not_found`. */
  remove(id: string, options?: CallOptions): Promise<void>
  /** Sends one signed event of the type `pulse.webhook.test` now. Rejects with `not_found`; a receiver that fails is an answer. */
  test(id: string, options?: CallOptions): Promise<WebhookTest>
}

/** Makes the calls about webhooks. */
export function createWebhooks(transport: Transport): Webhooks {
  const pathOf = (id: string) => `/webhooks/${encodeURIComponent(id)}`
  const send = async <Body>(call: Parameters<Transport['send']>[0], how?: CallOptions) =>
    (await transport.send<Body>(call, how)).body
  return {
    create: (webhook, how) =>
      send({ method: 'POST', path: '/webhooks', body: webhook, repeatable: false }, how),
    list: (query = {}, how) =>
      send({ method: 'GET', path: '/webhooks', query: paramsOf(query), repeatable: true }, how),
    get: (id, how) => send({ method: 'GET', path: pathOf(id), repeatable: true }, how),
    change: (id, change, how) =>
      send({ method: 'PATCH', path: pathOf(id), body: change, repeatable: true }, how),
    // Not repeated when its fate is unknown: the second time it would be told as missing.
    remove: async (id, how) =>
      void (await send({ method: 'DELETE', path: pathOf(id), repeatable: false }, how)),
    test: (id, how) => send({ method: 'POST', path: `${pathOf(id)}/test`, repeatable: false }, how),
  }
}

function paramsOf(query: WebhookQuery): URLSearchParams {
  const params = new URLSearchParams()
  for (const [name, value] of Object.entries(query))
    if (value !== undefined) params.append(name, String(value))
  return params
}
