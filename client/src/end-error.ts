import { closeCodes } from '@pulse/protocol/close-codes'
import type { EndCause } from './link.ts'
import { type ErrorCode, PulseError } from './pulse-error.ts'

const codes: ReadonlyMap<number, ErrorCode> = new Map<number, ErrorCode>([
  [closeCodes.invalid_frame, 'invalid_frame'],
  [closeCodes.unauthenticated, 'unauthenticated'],
  [closeCodes.forbidden, 'forbidden'],
  [closeCodes.no_filter, 'no_filter'],
])

/** The error of a subscription that ended; undefined if it was closed by its consumer. `said`: the server's last error. */
export function errorOfEnd(cause: EndCause, said: string | undefined): Error | undefined {
  switch (cause.kind) {
    case 'asked':
      return undefined
    case 'failed':
      return cause.error
    case 'closed': {
      const why = said ?? cause.reason
      const detail = `The server ended the subscription with ${cause.code}${why === '' ? '.' : `: ${why}`}`
      return new PulseError({ code: codes.get(cause.code) ?? 'closed', detail })
    }
  }
}
