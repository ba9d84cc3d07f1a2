import { z } from 'zod'
import { invalidMemberSchema } from './receipt.ts'

interface ProblemKind {
  readonly status: number
  readonly title: string
  /** What happened and what to do, in a sentence or two; the page `/docs/problems/{code}` shows it. */
  readonly help: string
  /** True if sending the same request again later can succeed. */
  readonly retryable: boolean
}

const kind = (status: number, title: string, help: string, retryable = false): ProblemKind => ({
  status,
  title,
  help,
  retryable,
})

/** Every problem that Pulse can answer with. A code never changes its meaning; new ones may come. */
export const problems = {
  invalid_json: kind(400, 'Not valid JSON', 'The body could not be parsed. The detail says where.'),
  invalid_encoding: kind(
    400,
    'Not valid UTF-8 or compression',
    'The body must be UTF-8, plain or gzip, deflate or br as Content-Encoding says.',
  ),
  invalid_request: kind(
    400,
    'Invalid request',
    'A parameter, header or the shape of the request is wrong; errors[] points at it.',
  ),
  invalid_idempotency_key: kind(
    400,
    'Invalid Idempotency-Key',
    'Send 1 to 255 visible ASCII characters, quoted or bare.',
  ),
  unauthenticated: kind(
    401,
    'Credential missing or not valid',
    'Send an API key as `Authorization: Bearer …`. A local key stands in the file `key` of the data folder.',
  ),
  forbidden: kind(403, 'Not allowed', 'The credential is valid but lacks the scope named in the detail.'),
  not_found: kind(404, 'Not found', 'There is nothing at this address, or not any more.'),
  method_not_allowed: kind(
    405,
    'Method not allowed',
    'The address exists; the Allow header lists its methods.',
  ),
  not_acceptable: kind(
    406,
    'Not acceptable',
    'The server cannot answer in any of the types that Accept names.',
  ),
  request_timeout: kind(408, 'Request too slow', 'The request did not arrive in time. Send it again.', true),
  conflict: kind(409, 'Conflict', 'The state of the resource does not allow this.'),
  event_id_conflict: kind(
    409,
    'event_id already used for another event',
    'Within the id window an event_id stands for one body. Send the same body, or another id.',
  ),
  idempotency_key_conflict: kind(
    422,
    'Idempotency-Key already used for another request',
    'Within its window a key stands for one request body.',
  ),
  idempotency_key_in_use: kind(
    409,
    'The first request with this Idempotency-Key is still running',
    'Wait for its answer, or send this again in a moment.',
    true,
  ),
  payload_too_large: kind(
    413,
    'Body too large',
    'The body, unpacked, or the number of events in it is above the limit of this server (`BODY_BYTES_MAX`, `BATCH_EVENTS_MAX`). Send smaller batches.',
  ),
  uri_too_long: kind(
    414,
    'Address too long',
    'An address has at most 8 KiB, and a parameter in its path at most 512 characters. Shorten the query.',
  ),
  unsupported_media_type: kind(
    415,
    'Content type not supported',
    'Send application/json, application/x-ndjson or a CloudEvents type.',
  ),
  invalid_event: kind(422, 'Event not valid', 'errors[] names each wrong member by JSON Pointer.'),
  invalid_batch: kind(422, 'No event of the batch is valid', 'results[] names each event and its errors.'),
  invalid_name: kind(
    422,
    'Name not valid',
    'The name has a character, a length or a direction that names may not have; the detail says which.',
  ),
  name_taken: kind(
    409,
    'Name taken',
    'Somebody has the name, or it is kept back. `suggestions` lists free ones that are near it.',
  ),
  query_too_wide: kind(
    422,
    'Query too wide',
    'A property filter needs an event_type and at most 24 hours, or an indexed property.',
  ),
  invalid_filter: kind(
    422,
    'Filter not valid',
    'The filter cannot be read, or can never be meant; the detail says what is wrong, and errors[] where.',
  ),
  filter_too_wide: kind(
    422,
    'Filter too wide',
    'The filter would have to be asked of every event, or has too many alternatives. Add a condition that few events pass: a value, a set of values or the beginning of one, for example an event_type. An operator may allow some such filters: `FILTERS_UNSELECTIVE_MAX`.',
  ),
  upgrade_required: kind(
    426,
    'WebSocket needed',
    'This address takes WebSocket connections of version 13 only. Open it with a WebSocket client.',
  ),
  too_many_headers: kind(431, 'Headers too large', 'Send smaller headers.'),
  rate_limited: kind(
    429,
    'Too many requests',
    'You are over your limit. Wait for Retry-After seconds.',
    true,
  ),
  over_budget: kind(
    429,
    'Intake is at its budget',
    'The server admits no more events at the moment. Wait for Retry-After seconds.',
    true,
  ),
  internal: kind(500, 'Internal error', 'A mistake of ours. The request_id finds it in the server log.'),
  unavailable: kind(
    503,
    'Temporarily unavailable',
    'The database or the log does not answer. Nothing acknowledged is lost; try again after Retry-After seconds.',
    true,
  ),
  overloaded: kind(
    503,
    'Overloaded',
    'Acknowledging takes longer than allowed, or as many watch as are served. Try again after Retry-After seconds.',
    true,
  ),
  disk_full: kind(
    503,
    'Disk nearly full',
    'Intake stops at `DISK_USED_RATIO_MAX` (90 % unless set) so that what is kept stays safe. Free space or shorten retention.',
    true,
  ),
  shutting_down: kind(
    503,
    'Shutting down',
    'This server takes no new work. Try again; another one answers.',
    true,
  ),
  query_timeout: kind(
    503,
    'Query took too long',
    'A query may run 5 seconds. Narrow it by type, user or time.',
    true,
  ),
} as const satisfies Record<string, ProblemKind>

export type ProblemCode = keyof typeof problems

/** RFC 9457 problem details, with `error` and `timestamp` for the originals' clients. */
export const problemSchema = z
  .object({
    type: z.string(),
    title: z.string(),
    status: z.int(),
    detail: z.string(),
    code: z.enum(Object.keys(problems) as [ProblemCode, ...ProblemCode[]]),
    request_id: z.string(),
    error: z.string(),
    timestamp: z.iso.datetime(),
    errors: z.array(invalidMemberSchema).optional(),
    retry_after: z.number().optional(),
  })
  .loose()
  .meta({ id: 'Problem' })
export type Problem = z.infer<typeof problemSchema>
