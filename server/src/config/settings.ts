import { limits } from '@pulse/protocol/limits'
import { delivery } from './delivery-settings.ts'
import { names } from './names-settings.ts'
import { count, type Setting, setting, type WithDefault } from './setting.ts'
import { address, listOf, oneOf, rate, ratio, text, yesNo } from './setting-kinds.ts'

export { chapters, type Setting } from './setting.ts'

const file = text('the path of a file')
const hostName = text('a host name or an IP address', (value) => /^[\w.:-]+$/.test(value))
const origin = text('an origin such as https://app.example.com, or *', (value) => {
  return value === '*' || (URL.canParse(value) && new URL(value).origin === value)
})
const proxy = text(
  'an IP address, a range such as 10.0.0.0/8, or loopback, linklocal, uniquelocal',
  (value) => {
    return /^(loopback|linklocal|uniquelocal|[\da-fA-F.:]+(\/\d{1,3})?)$/.test(value)
  },
)
const role = oneOf('all', 'intake', 'processing', 'delivery', 'query', 'names', 'web')

const server = {
  port: setting({
    name: 'PORT',
    flag: 'port',
    chapter: 'Server',
    kind: count(65_535),
    default: 8_000,
    help: 'Port that the server listens on; 0 takes a free one.',
  }),
  host: setting({
    name: 'HOST',
    flag: 'host',
    chapter: 'Server',
    kind: hostName,
    default: '127.0.0.1',
    help: 'Address that the server listens on. Beyond this machine it needs TLS or an https PUBLIC_URL behind TRUSTED_PROXIES.',
  }),
  data: setting({
    name: 'DATA',
    flag: 'data',
    chapter: 'Server',
    kind: text('the path of a folder'),
    default: './pulse-data',
    help: 'Folder of everything that this server keeps: the database, its password, the local admin key.',
  }),
  config: setting({
    name: 'CONFIG',
    flag: 'config',
    chapter: 'Server',
    kind: file,
    defaultText: './pulse.config.ts if it is there',
    help: 'Config file: TypeScript or JavaScript with a default export, or JSON.',
  }),
  roles: setting({
    name: 'ROLES',
    flag: 'roles',
    chapter: 'Server',
    kind: listOf(role, 'a list of all, intake, processing, delivery, query, names, web'),
    default: ['all'],
    help: 'What this process does; several processes can share the work over one DATABASE_URL.',
  }),
  logLevel: setting({
    name: 'LOG_LEVEL',
    chapter: 'Server',
    kind: oneOf('debug', 'info', 'warn', 'error', 'silent'),
    defaultText: 'warn on a terminal, else info',
    help: 'Least important lines that are logged (JSON on standard error).',
  }),
  drainMsMax: setting({
    name: 'DRAIN_MS_MAX',
    chapter: 'Server',
    kind: count(600_000),
    default: 10_000,
    unit: 'ms',
    help: 'Longest time for finishing accepted work after SIGTERM; a second signal ends it at once.',
  }),
}

const access = {
  open: setting({
    name: 'OPEN',
    flag: 'open',
    chapter: 'Access',
    kind: yesNo,
    default: false,
    help: 'Allows everything without a credential. Works on a loopback HOST only.',
  }),
  demo: setting({
    name: 'DEMO',
    flag: 'demo',
    chapter: 'Access',
    kind: yesNo,
    default: false,
    help: 'Sends sample events by itself, and brings a handler that fails some of them. Works on a loopback HOST only.',
  }),
  publicUrl: setting({
    name: 'PUBLIC_URL',
    chapter: 'Access',
    kind: address('http:', 'https:'),
    defaultText: 'http(s)://HOST:PORT',
    help: 'Address under which people reach this server; links are built from it.',
  }),
  trustedProxies: setting({
    name: 'TRUSTED_PROXIES',
    chapter: 'Access',
    kind: listOf(proxy, 'a list of IP addresses, ranges, or loopback, linklocal, uniquelocal'),
    default: [],
    help: 'Proxies whose X-Forwarded-* headers are believed.',
  }),
  tlsCertFile: setting({
    name: 'TLS_CERT_FILE',
    chapter: 'Access',
    kind: file,
    defaultText: 'no TLS',
    help: 'Certificate chain in PEM; TLS is on with it and TLS_KEY_FILE.',
  }),
  tlsKeyFile: setting({
    name: 'TLS_KEY_FILE',
    chapter: 'Access',
    kind: file,
    defaultText: 'no TLS',
    help: 'Private key in PEM for TLS_CERT_FILE.',
  }),
  insecureHttp: setting({
    name: 'INSECURE_HTTP',
    flag: 'insecure-http',
    chapter: 'Access',
    kind: yesNo,
    default: false,
    help: 'Allows plain HTTP on a HOST beyond this machine. Keys then travel readable.',
  }),
  corsOrigins: setting({
    name: 'CORS_ORIGINS',
    chapter: 'Access',
    kind: listOf(origin, 'a list of origins such as https://app.example.com, or *'),
    default: [],
    help: 'Web pages of these origins may call the API.',
  }),
  rateLimitKey: setting({
    name: 'RATE_LIMIT_KEY',
    chapter: 'Access',
    kind: rate,
    default: null,
    help: 'Requests that one API key may make, unless the key has a limit of its own.',
  }),
  rateLimitAddress: setting({
    name: 'RATE_LIMIT_ADDRESS',
    chapter: 'Access',
    kind: rate,
    default: { count: 600, windowMs: 60_000 },
    help: 'Requests without a valid credential that one address may make.',
  }),
  jwtSecret: setting({
    name: 'JWT_SECRET',
    chapter: 'Access',
    secret: true,
    kind: text('at least 32 characters', (value) => value.length >= 32),
    defaultText: 'made at the first start and kept in DATA/jwt-secret',
    help: 'Signs tokens. Every server of one database needs the same.',
  }),
}

const storage = {
  databaseUrl: setting({
    name: 'DATABASE_URL',
    chapter: 'Storage',
    secret: true,
    kind: address('postgres:', 'postgresql:'),
    defaultText: "the server's own PostgreSQL in DATA/postgres",
    help: 'PostgreSQL 15 or newer that holds everything; takes sslmode (disable, require, verify-ca, verify-full) and sslrootcert.',
  }),
  allowUnsynced: setting({
    name: 'ALLOW_UNSYNCED',
    chapter: 'Storage',
    kind: yesNo,
    default: false,
    help: 'Allows a database with fsync, full_page_writes or synchronous_commit off: a power cut may then lose acknowledged events, and receipts say so.',
  }),
  logDriver: setting({
    name: 'LOG_DRIVER',
    chapter: 'Storage',
    kind: oneOf('postgres', 'kafka'),
    default: 'postgres',
    help: 'Where the event log lives. Rows, offsets and dead letters are in PostgreSQL in any case.',
  }),
  kafkaBrokers: setting({
    name: 'KAFKA_BROKERS',
    chapter: 'Storage',
    kind: listOf(
      text('host:port', (value) => /^[\w.-]+:\d{1,5}$/.test(value)),
      'a list of host:port',
    ),
    default: [],
    help: 'Brokers of the kafka driver.',
  }),
  partitions: setting({
    name: 'PARTITIONS',
    chapter: 'Storage',
    kind: count(64, 1),
    default: 4,
    help: 'Partitions of a topic that does not say its own; a topic that exists keeps its count. Each one that is processed holds a connection of the database.',
  }),
  appendLanes: setting({
    name: 'APPEND_LANES',
    chapter: 'Storage',
    kind: count(16, 1),
    default: 1,
    unit: 'connections',
    help: 'Connections that append to the log at the same time; more than one helps when the disk is far away.',
  }),
}

const intake = {
  intakeRateMax: setting({
    name: 'INTAKE_RATE_MAX',
    chapter: 'Intake',
    kind: count(10_000_000),
    default: 0,
    unit: 'events per second',
    help: 'Most events that are admitted; above it 429. 0 is no limit.',
  }),
  ackDelayMsMax: setting({
    name: 'ACK_DELAY_MS_MAX',
    chapter: 'Intake',
    kind: count(60_000, 10),
    default: 2_000,
    unit: 'ms',
    help: 'When an acknowledgement would take longer, the answer is 503 with Retry-After instead of a slow yes.',
  }),
  backlogSecondsMax: setting({
    name: 'BACKLOG_SECONDS_MAX',
    chapter: 'Intake',
    kind: count(31_536_000),
    default: 0,
    unit: 's',
    help: 'When the oldest unprocessed event is older, intake answers 503. 0 is no limit.',
  }),
  diskUsedRatioMax: setting({
    name: 'DISK_USED_RATIO_MAX',
    chapter: 'Intake',
    kind: ratio,
    default: 0.9,
    help: 'When the disk is fuller, intake answers 503 disk_full.',
  }),
  futureSkewSecondsMax: setting({
    name: 'FUTURE_SKEW_SECONDS_MAX',
    chapter: 'Intake',
    kind: count(31_536_000),
    default: 300,
    unit: 's',
    help: 'How far ahead of our clock the timestamp of an event may lie.',
  }),
  strictTypes: setting({
    name: 'STRICT_TYPES',
    chapter: 'Intake',
    kind: yesNo,
    default: false,
    help: 'Refuses event types that the config file does not declare.',
  }),
  bodyBytesMax: setting({
    name: 'BODY_BYTES_MAX',
    chapter: 'Intake',
    kind: count(64 * 1024 * 1024, 1_024),
    default: limits.bodyBytesMax,
    unit: 'bytes',
    help: 'Longest body of a request, after decompression.',
  }),
  eventBytesMax: setting({
    name: 'EVENT_BYTES_MAX',
    chapter: 'Intake',
    kind: count(1024 * 1024, 256),
    default: limits.eventBytesMax,
    unit: 'bytes',
    help: 'Longest single event.',
  }),
  batchEventsMax: setting({
    name: 'BATCH_EVENTS_MAX',
    chapter: 'Intake',
    kind: count(50_000, 1),
    default: limits.batchEventsMax,
    unit: 'events',
    help: 'Most events in one request.',
  }),
}

const processing = {
  retryAttempts: setting({
    name: 'RETRY_ATTEMPTS',
    chapter: 'Processing',
    kind: count(100, 1),
    default: 3,
    help: 'Attempts at an event, the first one included, before it becomes a dead letter; 1 tries nothing again.',
  }),
  retryBaseMs: setting({
    name: 'RETRY_BASE_MS',
    chapter: 'Processing',
    kind: count(3_600_000, 1),
    default: 1_000,
    unit: 'ms',
    help: 'Upper end of the first wait; it doubles with each attempt, and a random part of it is waited.',
  }),
  retryMaxMs: setting({
    name: 'RETRY_MAX_MS',
    chapter: 'Processing',
    kind: count(86_400_000, 1),
    default: 60_000,
    unit: 'ms',
    help: 'Longest wait between two attempts.',
  }),
  handlerTimeoutMs: setting({
    name: 'HANDLER_TIMEOUT_MS',
    chapter: 'Processing',
    kind: count(3_600_000, 1),
    default: 30_000,
    unit: 'ms',
    help: 'Time that a handler has for one event; after it the attempt has failed.',
  }),
  handlerConcurrency: setting({
    name: 'HANDLER_CONCURRENCY',
    chapter: 'Processing',
    kind: count(10_000, 1),
    default: 100,
    unit: 'events',
    help: 'Handlers that run at the same time in this process.',
  }),
  orderPerKey: setting({
    name: 'ORDER_PER_KEY',
    chapter: 'Processing',
    kind: yesNo,
    default: true,
    help: 'Events of one key are handled one after the other; a parked one holds back those behind it.',
  }),
}

const retention = {
  idWindowHours: setting({
    name: 'ID_WINDOW_HOURS',
    chapter: 'Retention',
    kind: count(8_760, 1),
    default: 168,
    unit: 'hours',
    help: 'How long an event_id is remembered: within it, sending the same event again has no effect. Each takes three bytes of memory in every server.',
  }),
  logRetentionHours: setting({
    name: 'LOG_RETENTION_HOURS',
    chapter: 'Retention',
    kind: count(87_600, 1),
    default: 168,
    unit: 'hours',
    help: 'How long the log keeps events for replay, and less once it takes half of the disk of an embedded database. What a group has not read yet is kept in any case.',
  }),
  rowRetentionDays: setting({
    name: 'ROW_RETENTION_DAYS',
    chapter: 'Retention',
    kind: count(36_500, 1),
    default: 90,
    unit: 'days',
    help: 'How long processed rows can be queried, by day of receipt.',
  }),
  deadLetterRetentionDays: setting({
    name: 'DEAD_LETTER_RETENTION_DAYS',
    chapter: 'Retention',
    kind: count(36_500, 1),
    default: 30,
    unit: 'days',
    help: 'How long a dead letter waits to be mended.',
  }),
}

/** Every setting of the server, by its name in the config file. It parses, validates, documents and explains. */
export const settings = {
  ...server,
  ...access,
  ...storage,
  ...intake,
  ...processing,
  ...delivery,
  ...names,
  ...retention,
} as const

type Settings = typeof settings
export type SettingKey = keyof Settings

/** The value of every setting; one without a default may be undefined. */
export type SettingValues = {
  readonly [Key in SettingKey]: Settings[Key] extends WithDefault<infer T>
    ? T
    : Settings[Key] extends Setting<infer T>
      ? T | undefined
      : never
}

/** The table as a list of key and setting, for code that treats all alike. */
export const settingList: readonly (readonly [SettingKey, Setting])[] = Object.entries(settings).map(
  ([key, one]) => [key as SettingKey, one as Setting],
)
