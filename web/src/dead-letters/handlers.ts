const prefix = 'webhook:'

/** What failed, as dead letters name it, for a webhook. */
export const webhookHandler = (webhookId: string) => `${prefix}${webhookId}`

/** The webhook that a dead letter is of; undefined if it is a handler's. */
export const webhookOf = (handler: string): string | undefined =>
  handler.startsWith(prefix) ? handler.slice(prefix.length) : undefined

/** A handler by the name that its team gave it; a webhook by the beginning of its id. */
export function handlerName(handler: string): string {
  const id = webhookOf(handler)
  return id === undefined ? handler : `webhook ${id.slice(0, 8)}`
}
