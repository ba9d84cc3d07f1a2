import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { eventually } from '@pulse/dev/services/eventually'
import { type StartedServer, startServer } from './started-server.ts'

/** A server under test with what journeys do to it. */
export interface Journey extends AsyncDisposable {
  readonly server: StartedServer
  /** One request with the admin key. */
  call(method: string, path: string, body?: unknown, headers?: Record<string, string>): Promise<Answer>
  /** Posts one event that must be accepted; returns its id. */
  send(event: Record<string, unknown>): Promise<string>
  /** The life of an event as soon as it has this state. */
  until(eventId: string, status: string): Promise<Life>
}

export interface Answer {
  readonly status: number
  readonly headers: Headers
  readonly body: AnswerBody
}

interface AnswerReceipt {
  readonly event_id: string
  readonly durability: string
  readonly received_at: string
  readonly dedupe_until: string
  readonly position: string
}

/** What the answers of the API have between them; a journey asks for what its answer must have. */
export interface AnswerBody {
  readonly event_id: string
  readonly status: string
  readonly message: string
  readonly code: string
  readonly received_at: string
  readonly processed_at: string
  readonly receipt: AnswerReceipt
  readonly results: readonly {
    readonly status: string
    readonly event_id: string
    readonly receipt: AnswerReceipt
    readonly errors: readonly { readonly pointer: string; readonly detail: string }[]
  }[]
  readonly data: readonly {
    readonly event_id: string
    readonly name: string
    readonly [member: string]: unknown
  }[]
  readonly cursor: string | null
  readonly has_more: boolean
  readonly accepted: number
  readonly duplicates: number
  readonly rejected: number
  readonly queue_length: number
  readonly pending_messages: number
  readonly life: Life['life']
  readonly dead_letter: Life['dead_letter']
}

export interface Life {
  readonly status: string
  readonly enriched: Record<string, unknown> | null
  readonly event: { readonly timestamp: string; readonly properties: Record<string, unknown> }
  readonly life: readonly { readonly step: string; readonly at: string; readonly detail: string }[]
  readonly dead_letter: {
    readonly id: string
    readonly attempts: number
    readonly error: { class: string; message: string }
  } | null
}

/** Starts a server, with a `pulse.config.mjs` if its text is given. */
export async function startJourney(
  settings: Readonly<Record<string, string>> = {},
  configText?: string,
): Promise<Journey> {
  const folder = await mkdtemp(join(tmpdir(), 'pulse-journey-'))
  const file = join(folder, 'pulse.config.mjs')
  if (configText !== undefined) await writeFile(file, configText)
  const server = await startServer({ ...(configText === undefined ? {} : { CONFIG: file }), ...settings })
  const call = callerOf(server)
  return {
    server,
    call,
    send: async (event) => {
      const answer = await call('POST', '/events', event)
      assert.equal(answer.status, 202, JSON.stringify(answer.body))
      return answer.body.event_id
    },
    until: (eventId, status) =>
      eventually(
        `event ${eventId} ${status}`,
        async () => {
          const { body } = await call('GET', `/events/${eventId}`)
          return body.status === status ? (body as unknown as Life) : undefined
        },
        20_000,
      ),
    [Symbol.asyncDispose]: async () => {
      await server[Symbol.asyncDispose]()
      await rm(folder, { recursive: true, force: true })
    },
  }
}

/** Calls of a server with its admin key; a body that is no string is sent as JSON. */
export function callerOf(server: Pick<StartedServer, 'url' | 'key'>): Journey['call'] {
  return async (method, path, body, headers = {}) => {
    const response = await fetch(`${server.url}${path}`, {
      method,
      headers: {
        authorization: `Bearer ${server.key}`,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...headers,
      },
      ...(body === undefined
        ? {}
        : {
            body:
              typeof body === 'string' || body instanceof Uint8Array
                ? (body as string)
                : JSON.stringify(body),
          }),
    })
    const text = await response.text()
    const json = (response.headers.get('content-type') ?? '').includes('json')
    return { status: response.status, headers: response.headers, body: json ? JSON.parse(text) : text }
  }
}

/** A purchase with an id of its own. */
export const aPurchase = (more: Record<string, unknown> = {}) => ({
  event_id: randomUUID(),
  event_type: 'purchase',
  user_id: 'user_1',
  properties: { amount: 99.99, currency: 'USD' },
  ...more,
})
