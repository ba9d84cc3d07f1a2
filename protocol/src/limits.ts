/**
 * Limits of the wire. Everything that a client can make large has one; `docs/limits.md` prints this table.
 * Those that an operator may change are settings of the server and start from these values.
 */
export const limits = {
  bodyBytesMax: 4 * 1024 * 1024,
  eventBytesMax: 64 * 1024,
  batchEventsMax: 5_000,
  depthMax: 32,
  propertiesMax: 256,
  eventTypeCharsMax: 100,
  userIdCharsMax: 255,
  sourceCharsMax: 255,
  idempotencyKeyCharsMax: 255,
  pageRowsMax: 1_000,
} as const

export type Limits = typeof limits
