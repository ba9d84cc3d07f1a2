import { type ClientFrame, clientFrameSchema } from '@pulse/protocol/frames'

/**
 * Where a `pulse.v1` socket stands:
 *
 * - `unknown`: no credential yet; only `auth` is taken.
 * - `quiet`: greeted; waits for `subscribe` or `resume`.
 * - `streaming`: delivers.
 */
export type SocketState = 'unknown' | 'quiet' | 'streaming'

/** What to do about a frame. */
export type FrameAction =
  | { readonly kind: 'authenticate'; readonly credential: string }
  | { readonly kind: 'begin'; readonly frame: Extract<ClientFrame, { type: 'subscribe' | 'resume' }> }
  | { readonly kind: 'ack'; readonly position: string }
  | { readonly kind: 'filter'; readonly frame: Extract<ClientFrame, { type: 'filter' }> }
  /** Nothing was asked for yet, so there is no place to tell: only that the server is there. */
  | { readonly kind: 'pong'; readonly id: string | undefined }
  /** How far the stream has come. */
  | { readonly kind: 'checkpoint'; readonly id: string | undefined }
  | { readonly kind: 'refuse'; readonly why: 'unauthenticated' | 'invalid_frame'; readonly detail: string }

/** Reads a message; what is wrong with it is said as a refusal. */
export function readFrame(text: string): ClientFrame | FrameAction {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return { kind: 'refuse', why: 'invalid_frame', detail: 'a frame is a JSON object' }
  }
  const read = clientFrameSchema.safeParse(value)
  if (read.success) return read.data
  const issue = read.error.issues[0]
  const where = issue?.path.length ? ` at /${issue.path.join('/')}` : ''
  return {
    kind: 'refuse',
    why: 'invalid_frame',
    detail: `not a frame${where}: ${issue?.message ?? 'unknown'}`,
  }
}

const invalid = (detail: string): FrameAction => ({ kind: 'refuse', why: 'invalid_frame', detail })

type Decide = {
  readonly [Type in ClientFrame['type']]: (frame: Extract<ClientFrame, { type: Type }>) => FrameAction
}

const stranger = (): FrameAction => ({
  kind: 'refuse',
  why: 'unauthenticated',
  detail: 'the first frame of a socket without a credential is auth',
})
const known: Pick<Decide, 'auth' | 'filter'> = {
  auth: () => invalid('this socket has a credential already'),
  filter: (frame) => ({ kind: 'filter', frame }),
}

/** Every state and every frame; the compiler keeps it complete. */
const table: { readonly [State in SocketState]: Decide } = {
  unknown: {
    auth: ({ credential }) => ({ kind: 'authenticate', credential }),
    subscribe: stranger,
    resume: stranger,
    ack: stranger,
    filter: stranger,
    ping: stranger,
  },
  quiet: {
    ...known,
    subscribe: (frame) => ({ kind: 'begin', frame }),
    resume: (frame) => ({ kind: 'begin', frame }),
    ack: () => invalid('nothing was delivered yet'),
    ping: ({ id }) => ({ kind: 'pong', id }),
  },
  streaming: {
    ...known,
    subscribe: () => invalid('this socket has subscribed already'),
    resume: () => invalid('this socket has subscribed already'),
    ack: ({ position }) => ({ kind: 'ack', position }),
    ping: ({ id }) => ({ kind: 'checkpoint', id }),
  },
}

/** Decides what a frame means in a state. */
export function decide(state: SocketState, frame: ClientFrame): FrameAction {
  return (table[state][frame.type] as (frame: ClientFrame) => FrameAction)(frame)
}
