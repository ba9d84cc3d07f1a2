/**
 * Why a server ends a socket. The range of a code says whether to come back, so that a client does the right thing
 * also with a code that it does not know:
 *
 * - 1000: done, nobody comes back. 1001, 1005, 1006 and 1011 to 1014: come back with the last position.
 *   Other codes below 4000: the client broke the protocol; it must change first.
 * - 4400 to 4407: do not come back before something was changed: the credential, the filter, the frame.
 * - 4408 to 4419: come back; the code says from where.
 * - 4420 to 4499: come back later, when the server is less busy with you.
 * - 4500 to 4599: come back with the last position; the fault is the server's.
 */
export const closeCodes = {
  done: 1000,
  going_away: 1001,
  protocol_error: 1002,
  unsupported_data: 1003,
  invalid_text: 1007,
  policy: 1008,
  message_too_big: 1009,
  /** A frame that is no frame of `pulse.v1`, or comes when it must not. */
  invalid_frame: 4400,
  /** No credential came in time, or it has ended or was revoked. */
  unauthenticated: 4401,
  /** The credential may not read this subscriber's stream. */
  forbidden: 4403,
  /** There is no filter of this subscriber, and none was sent. */
  no_filter: 4404,
  /** The reader is too slow for what matches: come back with the last position. */
  too_slow: 4408,
  /** The position cannot be resumed (retention, another log): come back without one. */
  position_gone: 4410,
  /** More connections, subscriptions or frames than allowed: come back later. */
  too_many: 4429,
  internal: 4500,
  /** The server stops or moves its sessions. */
  draining: 4503,
} as const

export type CloseName = keyof typeof closeCodes

/** What a client does after a socket has ended with this code. */
export type Comeback = 'never' | 'resume' | 'afresh' | 'later'

/** Whether to come back after a close code: at once and from the last position, without one, later, or never. */
export function comebackAfter(code: number): Comeback {
  if (code === closeCodes.position_gone) return 'afresh'
  if (code >= 4408 && code <= 4419) return 'resume'
  if (code >= 4420 && code <= 4499) return 'later'
  if (code >= 4500 && code <= 4599) return 'resume'
  const network = code === 1001 || code === 1005 || code === 1006 || (code >= 1011 && code <= 1014)
  return network ? 'resume' : 'never'
}

/** The last event of an event stream that the server ends, named `close`: what a close frame says to a socket. */
export interface StreamClose {
  readonly code: number
  readonly reason: string
  readonly come_back: Comeback
  /** Seconds to wait before that, where it does no good to come sooner. */
  readonly retry_after?: number
}

const retryAfterSeconds: ReadonlyMap<number, number> = new Map<number, number>([
  [closeCodes.too_many, 5],
  [closeCodes.internal, 2],
])

/** What an event stream says as it ends with this code. */
export function streamClose(code: number, reason: string): StreamClose {
  const retryAfter = retryAfterSeconds.get(code)
  return {
    ...{ code, reason, come_back: comebackAfter(code) },
    ...(retryAfter === undefined ? {} : { retry_after: retryAfter }),
  }
}
