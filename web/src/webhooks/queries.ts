import type { WebhookQuery } from '@pulse/client'
import { createWebhooks } from '@pulse/client/webhooks'
import { keepPreviousData, queryOptions } from '@tanstack/react-query'
import { transport } from '../api/api.ts'

export type { NewWebhook, Webhook, WebhookChange } from '@pulse/client'

/** The calls about webhooks. */
export const webhooks = createWebhooks(transport)

/** Keys of what a change of a webhook makes old. */
export const webhookKeys = ['webhooks', 'webhook', 'streams'] as const

/** One page of webhooks, oldest first. */
export const webhooksQuery = (query: WebhookQuery) =>
  queryOptions({
    queryKey: ['webhooks', query],
    queryFn: ({ signal }) => webhooks.list(query, { signal, retriesMax: 1 }),
    placeholderData: keepPreviousData,
  })

/** One webhook. */
export const webhookQuery = (id: string) =>
  queryOptions({
    queryKey: ['webhook', id],
    queryFn: ({ signal }) => webhooks.get(id, { signal, retriesMax: 1 }),
  })
