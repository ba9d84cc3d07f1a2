/**
 * CloudEvents 1.0 onto the event. `type` is the event type, `source` the source, `time` the timestamp, `data` the
 * properties (an object as it is, anything else under `data`). `subject` is the user. The id becomes the event_id
 * if it is a UUID, else the UUIDv5 of (`source`, `id`), because together they name an event and repeat with it.
 * Everything that has no place of its own is kept under `properties.cloudevent`.
 */

const required = ['id', 'source', 'specversion', 'type'] as const

const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i

/** What is wrong with a CloudEvent: JSON Pointer and sentence. */
export interface CloudEventFault {
  readonly pointer: string
  readonly detail: string
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/**
 * Maps a structured CloudEvent to an event as submitted (still to be validated), or says what is wrong with it.
 * `uuidOf` makes a UUIDv5 of its argument; it is given because this room does no hashing.
 */
export function fromCloudEvent(
  value: unknown,
  uuidOf: (name: string) => string,
): { event: Record<string, unknown> } | { faults: CloudEventFault[] } {
  if (!isObject(value)) return { faults: [{ pointer: '', detail: 'must be a JSON object' }] }
  const faults = required
    .filter((name) => typeof value[name] !== 'string' || value[name] === '')
    .map((name) => ({ pointer: `/${name}`, detail: 'must be a string that is not empty' }))
  if (value.specversion !== '1.0' && typeof value.specversion === 'string')
    faults.push({ pointer: '/specversion', detail: 'must be 1.0' })
  if ('data' in value && 'data_base64' in value)
    faults.push({ pointer: '/data_base64', detail: 'must not stand beside data' })
  if (faults.length > 0) return { faults }
  const {
    id,
    source,
    type,
    time,
    subject,
    data,
    specversion: _,
    data_base64,
    ...extensions
  } = value as Record<string, string>
  const own = uuid.test(id as string)
  const cloudevent = { ...(own ? {} : { id, source }), ...extensions }
  return {
    event: {
      event_id: own ? id : uuidOf(`${source}\n${id}`),
      event_type: type,
      source,
      ...(time === undefined ? {} : { timestamp: time }),
      ...(subject === undefined ? {} : { user_id: subject }),
      properties: {
        ...propertiesOf(data, data_base64),
        ...(Object.keys(cloudevent).length > 0 ? { cloudevent } : {}),
      },
    },
  }
}

function propertiesOf(data: unknown, base64: unknown): Record<string, unknown> {
  if (base64 !== undefined) return { data_base64: base64 }
  if (data === undefined || data === null) return {}
  return isObject(data) ? data : { data }
}

/** Builds the structured form of a binary-mode CloudEvent from its `ce-` headers (percent-decoded) and its data. */
export function cloudEventOfHeaders(
  headers: Readonly<Record<string, string | string[] | undefined>>,
  body: { data: unknown } | { base64: string } | undefined,
): Record<string, unknown> {
  const event: Record<string, unknown> = {}
  for (const [name, value] of Object.entries(headers)) {
    if (!name.startsWith('ce-') || typeof value !== 'string') continue
    event[name.slice(3)] = percentDecoded(value)
  }
  const contentType = headers['content-type']
  if (typeof contentType === 'string' && body) event.datacontenttype = contentType
  if (body && 'data' in body) event.data = body.data
  if (body && 'base64' in body) event.data_base64 = body.base64
  return event
}

function percentDecoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text // a lone % stands for itself
  }
}
