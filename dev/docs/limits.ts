import { filterNameLimits } from '@pulse/protocol/filter'
import { frameLimits } from '@pulse/protocol/frames'
import { limits } from '@pulse/protocol/limits'
import { namesMax as namesPerRequestMax } from '@pulse/protocol/name'
import { type ProblemCode, problems } from '@pulse/protocol/problem'
import { webhookUrlCharsMax } from '@pulse/protocol/webhook'
import {
  enrichedCharsMax,
  failureRate,
  filterBytesMax,
  filterLimits,
  historySecondsMax,
  httpLimits,
  inFlightEventsMax,
  letterLimits,
  linkSeconds,
  logDiskRatioMax,
  nameBytesMax,
  nameSocketLimits,
  namesMax,
  queryMsMax,
  queueLimits,
  type SettingKey,
  sessionSecondsMax,
  settings,
  subscriptionLimits,
  ticketSeconds,
  tokenSecondsMax,
  webhooksPerSubscriberMax,
} from '@pulse/server/documentation'

/** One line: what is limited, how much may be, what somebody beyond it gets, and the setting that changes it. */
interface Row {
  readonly what: string
  readonly most: string
  readonly beyond: ProblemCode | string
  readonly setting?: SettingKey
}

/**
 * The page `docs/limits.md`: every limit that somebody outside can meet, from the tables that hold it. A member of the
 * wire's table that has no line makes this throw, so a new limit cannot go undocumented.
 */
export function limitsPage(): string {
  const chapters = [
    ['One request to `POST /events`', intakeRows()],
    ['Intake as a whole', admissionRows()],
    ['Reading', readingRows()],
    ['Filters', filterRows()],
    ['Streams', streamRows()],
    ['Webhooks', webhookRows()],
    ['Names', nameRows()],
    ['Connections and requests', httpRows()],
    ['Credentials', credentialRows()],
    ['Handlers', handlerRows()],
    ['How long things are kept', retentionRows()],
  ] as const
  return [opening, ...chapters.map(([title, rows]) => `## ${title}\n\n${tableOf(rows)}`), closing].join('\n')
}

const opening = `# Limits

<!-- Printed by limitsPage() in dev/docs/limits.ts; \`node dev/docs/main.ts\` writes it, a test keeps it true. -->

Everything that a client can make large, many or long has a limit. Those with a setting can be changed (the value here is
its default); the others are the same on every server. Beyond a limit stands the status and the code of the problem
document that answers; for events its \`errors[]\` points at the member.
`

const closing = `What an answer means, and whether sending the same again can help, stands on the pages \`/docs/problems\` of every
server. [operating/configuration.md](operating/configuration.md) explains the settings.
`

type Wire = Record<keyof typeof limits, Row>

const number = (value: number) => value.toLocaleString('en-US')

function bytes(value: number): string {
  const mebibytes = value / 1024 ** 2
  return Number.isInteger(mebibytes) ? `${mebibytes} MiB` : `${number(value / 1024)} KiB`
}

function span(ms: number): string {
  const units = [
    ['h', 3_600_000],
    ['min', 60_000],
    ['s', 1_000],
  ] as const
  const [unit, size] = units.find(([, each]) => ms % each === 0 && ms >= each) ?? ['ms', 1]
  return `${number(ms / size)} ${unit}`
}

/** Settings whose value is a number that is always there. */
type NumericKey = {
  [Key in SettingKey]: (typeof settings)[Key] extends { readonly default: number } ? Key : never
}[SettingKey]

/** A limit that a setting holds, with the setting's own default. */
const ofSetting = (key: NumericKey, shown: (value: number) => string) => ({
  most: shown(settings[key].default),
  setting: key,
})

const wire: Wire = {
  bodyBytesMax: {
    what: 'body, after decompression',
    ...ofSetting('bodyBytesMax', bytes),
    beyond: 'payload_too_large',
  },
  batchEventsMax: {
    what: 'events in an array or NDJSON',
    ...ofSetting('batchEventsMax', number),
    beyond: 'payload_too_large',
  },
  eventBytesMax: {
    what: 'one event, as canonical JSON',
    ...ofSetting('eventBytesMax', bytes),
    beyond: 'invalid_event',
  },
  depthMax: {
    what: 'levels of nesting in an event',
    most: number(limits.depthMax),
    beyond: 'invalid_json',
  },
  propertiesMax: {
    what: 'members of `properties`',
    most: number(limits.propertiesMax),
    beyond: 'invalid_event',
  },
  eventTypeCharsMax: {
    what: 'characters of `event_type`: letters, digits and `. _ : -`',
    most: number(limits.eventTypeCharsMax),
    beyond: 'invalid_event',
  },
  userIdCharsMax: {
    what: 'characters of `user_id`',
    most: number(limits.userIdCharsMax),
    beyond: 'invalid_event',
  },
  sourceCharsMax: {
    what: 'characters of `source`',
    most: number(limits.sourceCharsMax),
    beyond: 'invalid_event',
  },
  idempotencyKeyCharsMax: {
    what: 'visible ASCII characters of `Idempotency-Key`',
    most: number(limits.idempotencyKeyCharsMax),
    beyond: 'invalid_idempotency_key',
  },
  pageRowsMax: { what: '`limit` of a list', most: number(limits.pageRowsMax), beyond: 'invalid_request' },
}

function intakeRows(): readonly Row[] {
  const { pageRowsMax: _, ...rows } = wire
  const missing = Object.keys(limits).filter((name) => !(name in wire))
  if (missing.length > 0) throw new Error(`these limits of the wire have no line: ${missing.join(', ')}`)
  return [
    ...Object.values(rows),
    {
      what: '`timestamp` ahead of the server’s clock',
      ...ofSetting('futureSkewSecondsMax', (seconds) => span(seconds * 1_000)),
      beyond: 'invalid_event',
    },
  ]
}

function admissionRows(): readonly Row[] {
  const none = (shown: (value: number) => string) => (value: number) =>
    value === 0 ? 'no limit' : shown(value)
  return [
    {
      what: 'events admitted per second and process',
      ...ofSetting('intakeRateMax', none(number)),
      beyond: 'over_budget',
    },
    {
      what: 'expected wait for an acknowledgement',
      ...ofSetting('ackDelayMsMax', span),
      beyond: 'overloaded',
    },
    {
      what: 'events let in and not yet settled, per process',
      most: number(inFlightEventsMax),
      beyond: 'overloaded',
    },
    {
      what: 'age of the oldest event that waits for processing',
      ...ofSetting(
        'backlogSecondsMax',
        none((seconds) => span(seconds * 1_000)),
      ),
      beyond: 'overloaded',
    },
    {
      what: 'part of the disk that is used',
      ...ofSetting('diskUsedRatioMax', (ratio) => `${number(ratio * 100)} %`),
      beyond: 'disk_full',
    },
  ]
}

function readingRows(): readonly Row[] {
  return [
    wire.pageRowsMax,
    { what: 'time of one query', most: span(queryMsMax), beyond: 'query_timeout' },
    {
      what: 'span of a filter on properties that their type does not declare indexed',
      most: '24 h and one `event_type`',
      beyond: 'query_too_wide',
    },
    {
      what: '`seconds` of `GET /metrics/history`',
      most: number(historySecondsMax),
      beyond: 'invalid_request',
    },
    {
      what: 'event types, reasons, error classes per type that metrics tell apart',
      most: [namesMax.eventTypes, namesMax.reasons, namesMax.errorClassesPerType].map(number).join(', '),
      beyond: 'counted under `other`',
    },
  ]
}

function filterRows(): readonly Row[] {
  const row = (what: string, most: number, beyond: ProblemCode): Row => ({ what, most: number(most), beyond })
  return [
    row('characters of a subscriber’s name', filterNameLimits.subscriberCharsMax, 'invalid_request'),
    row('characters of a filter’s name', filterNameLimits.nameCharsMax, 'invalid_request'),
    row('filters of one subscriber', subscriptionLimits.perSubscriberMax, 'conflict'),
    row('characters of an expression, or of a pattern as JSON', filterLimits.charsMax, 'filter_too_wide'),
    row('tests in one filter', filterLimits.testsMax, 'filter_too_wide'),
    row('values in one test', filterLimits.valuesMax, 'filter_too_wide'),
    row('alternatives, once every `or` is brought outside', filterLimits.clausesMax, 'filter_too_wide'),
    row('values of `like` in one filter', filterLimits.wildcardsMax, 'filter_too_wide'),
    row('levels of parentheses', filterLimits.treeDepthMax, 'filter_too_wide'),
    {
      what: 'stored filters that nothing selects, so that each is asked of every event',
      ...ofSetting('filtersUnselectiveMax', number),
      beyond: 'filter_too_wide',
    },
  ]
}

function nameRows(): readonly Row[] {
  return [
    { what: 'a name, as UTF-8', most: bytes(nameBytesMax), beyond: 'invalid_name' },
    { what: 'names of one batch check', most: number(namesPerRequestMax.check), beyond: 'invalid_request' },
    { what: 'names of one import', most: number(namesPerRequestMax.import), beyond: 'invalid_request' },
    {
      what: 'sockets that ask for names, and those of one address',
      most: [nameSocketLimits.connectionsMax, nameSocketLimits.connectionsPerAddressMax]
        .map(number)
        .join(', '),
      beyond: 'rate_limited',
    },
    {
      what: 'names of one socket that wait for their answers',
      most: number(nameSocketLimits.openMax),
      beyond: 'an answer with `rate_limited`',
    },
    {
      what: 'answers that a socket leaves unread',
      most: bytes(nameSocketLimits.unreadBytesMax),
      beyond: 'the connection ends',
    },
  ]
}

function streamRows(): readonly Row[] {
  return [
    {
      what: 'streams of a process',
      ...ofSetting('streamConnectionsMax', number),
      beyond: 'event stream 429 `rate_limited`, socket closed with 4429',
    },
    {
      what: 'streams of one subscriber on a process',
      ...ofSetting('streamConnectionsPerSubscriberMax', number),
      beyond: 'event stream 429 `rate_limited`, socket closed with 4429',
    },
    {
      what: 'a frame that a client sends',
      most: bytes(frameLimits.clientFrameBytesMax),
      beyond: 'closed with 1009',
    },
    {
      what: 'time for the `auth` frame of a socket without a credential',
      most: span(frameLimits.authMsMax),
      beyond: 'closed with 4401',
    },
    {
      what: 'what waits for one slow reader',
      most: bytes(queueLimits.bytesMax),
      beyond: 'as it asked; by default it is read from the log again',
    },
    {
      what: 'sending streams away when a server stops',
      ...ofSetting('streamDrainMsMax', span),
      beyond: 'closed with 4503',
    },
  ]
}

function webhookRows(): readonly Row[] {
  return [
    {
      what: 'webhooks of one subscriber',
      most: number(webhooksPerSubscriberMax),
      beyond: 'conflict',
    },
    {
      what: 'characters of the address of a webhook',
      most: number(webhookUrlCharsMax),
      beyond: 'invalid_request',
    },
    {
      what: 'requests for one event',
      ...ofSetting('webhookAttempts', number),
      beyond: 'a dead letter',
    },
    { what: 'time for an answer', ...ofSetting('webhookTimeoutMs', span), beyond: 'the attempt has failed' },
    {
      what: 'requests at a time to one receiver',
      ...ofSetting('webhookConcurrency', number),
      beyond: 'the next ones wait',
    },
    {
      what: 'events of one webhook that were read and are not dealt with, one of each blocked key among them',
      most: number(letterLimits.openMax),
      beyond: 'no more are read; the log keeps them',
    },
    {
      what: 'events of one webhook from the first that is not dealt with to the last that was read',
      most: number(letterLimits.spanMax),
      beyond: 'no more are read; the log keeps them',
    },
    {
      what: 'events of one webhook that wait behind blocked keys',
      most: number(letterLimits.parkedMax),
      beyond: 'dead letters at once; while nothing else is taken, no more are read',
    },
    {
      what: 'of them, behind keys that were blocked while nothing was taken and several keys were refused',
      most: number(letterLimits.doubtedMax),
      beyond: 'no more are read; the log keeps them',
    },
  ]
}

function httpRows(): readonly Row[] {
  return [
    { what: 'an address', most: bytes(httpLimits.urlBytesMax), beyond: 'uri_too_long' },
    {
      what: 'request line and headers together',
      most: bytes(httpLimits.headerBytesMax),
      beyond: 'too_many_headers',
    },
    { what: 'time for the headers', most: span(httpLimits.headersMsMax), beyond: 'request_timeout' },
    { what: 'time for the whole request', most: span(httpLimits.requestMsMax), beyond: 'request_timeout' },
    {
      what: 'characters of one parameter in a path',
      most: number(httpLimits.paramCharsMax),
      beyond: 'uri_too_long',
    },
    {
      what: 'idle time of a connection',
      most: span(httpLimits.keepAliveMs),
      beyond: 'the connection is closed',
    },
    {
      what: 'connections at once, beside those of streams (`STREAM_CONNECTIONS_MAX`)',
      most: number(httpLimits.connectionsMax),
      beyond: 'the connection is closed, and counted',
    },
    {
      what: 'finishing accepted work after SIGTERM',
      ...ofSetting('drainMsMax', span),
      beyond: 'the process ends; nothing acknowledged is lost',
    },
  ]
}

function credentialRows(): readonly Row[] {
  const address = settings.rateLimitAddress.default
  return [
    {
      what: 'requests of one key or token',
      most: 'no limit',
      beyond: 'rate_limited',
      setting: 'rateLimitKey',
    },
    {
      what: 'requests of one address without a valid credential',
      most: address ? `${number(address.count)} in ${span(address.windowMs)}` : 'no limit',
      beyond: 'rate_limited',
      setting: 'rateLimitAddress',
    },
    {
      what: 'wrong credentials from one address',
      most: `${number(failureRate.count)} in ${span(failureRate.windowMs)}`,
      beyond: 'rate_limited',
    },
    { what: 'life of a token', most: span(tokenSecondsMax * 1_000), beyond: 'unauthenticated' },
    { what: 'the filter of a token, as JSON', most: bytes(filterBytesMax), beyond: 'invalid_request' },
    { what: 'life of a session', most: span(sessionSecondsMax * 1_000), beyond: 'unauthenticated' },
    {
      what: 'life of a sign-in link, which works once',
      most: span(linkSeconds * 1_000),
      beyond: 'unauthenticated',
    },
    {
      what: 'life of a ticket, which works once',
      most: span(ticketSeconds * 1_000),
      beyond: 'unauthenticated',
    },
  ]
}

function handlerRows(): readonly Row[] {
  return [
    {
      what: 'time for one event',
      ...ofSetting('handlerTimeoutMs', span),
      beyond: 'the attempt has failed with `HandlerTimeout`',
    },
    {
      what: 'handlers at the same time, per process',
      ...ofSetting('handlerConcurrency', number),
      beyond: 'the next ones wait',
    },
    {
      what: '`enriched`, as JSON',
      most: `${number(enrichedCharsMax)} characters`,
      beyond: 'the attempt has failed with `RangeError`',
    },
  ]
}

function retentionRows(): readonly Row[] {
  const hours = (value: number) => (value % 24 === 0 ? `${number(value / 24)} days` : `${number(value)} h`)
  const days = (value: number) => `${number(value)} days`
  return [
    {
      what: 'an `event_id` or `Idempotency-Key`',
      ...ofSetting('idWindowHours', hours),
      beyond: 'the same id is a new event',
    },
    {
      what: 'an event in the log',
      ...ofSetting('logRetentionHours', hours),
      beyond: 'forgotten, unless a group has not read it yet',
    },
    {
      what: 'the log of an embedded database, as part of its disk',
      most: `${number(logDiskRatioMax * 100)} %`,
      beyond: 'its oldest days go early, unless a group has not read them yet',
    },
    {
      what: 'the row of an event',
      ...ofSetting('rowRetentionDays', days),
      beyond: 'its day of receipt is dropped',
    },
    {
      what: 'a dead letter',
      ...ofSetting('deadLetterRetentionDays', days),
      beyond: 'deleted',
    },
  ]
}

function tableOf(rows: readonly Row[]): string {
  const lines = rows.map(({ what, most, beyond, setting }) => {
    const name = setting === undefined ? '' : `\`${settings[setting].name}\``
    return `| ${what} | ${most} | ${answerOf(beyond)} | ${name} |`
  })
  return ['| What | At most | Beyond it | Setting |', '|---|---|---|---|', ...lines, ''].join('\n')
}

function answerOf(beyond: string): string {
  const problem = problems[beyond as ProblemCode] as (typeof problems)[ProblemCode] | undefined
  return problem === undefined ? beyond : `${problem.status} \`${beyond}\``
}
