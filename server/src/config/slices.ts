import { isAbsolute, resolve } from 'node:path'
import type { ConfigParts } from './config-parts.ts'
import type { SettingKey, SettingValues } from './settings.ts'
import type { Candidate, Places } from './sources.ts'

/** What was read, and from where. */
export interface Read {
  readonly found: ReadonlyMap<string, readonly Candidate[]>
  readonly places: Places
  readonly parts: ConfigParts
  readonly from: { readonly cwd: string; readonly terminal?: boolean }
}

/** Cuts the settings into one slice per module, with absolute paths. */
export function slices(values: SettingValues, read: Read) {
  const data = pathOf('data', values.data, read)
  return {
    data,
    /** Absolute path of the config file that was read, if any. */
    file: read.places.file?.path,
    ...pick(values, 'open', 'demo', 'roles'),
    http: httpSlice(values, read),
    accounts: {
      data,
      ...pick(values, 'open', 'demo', 'publicUrl', 'jwtSecret', 'rateLimitKey', 'rateLimitAddress'),
    },
    database: databaseSlice(values, read),
    log: {
      driver: values.logDriver,
      retentionHours: values.logRetentionHours,
      ...pick(values, 'kafkaBrokers', 'partitions', 'appendLanes', 'idWindowHours'),
      topics: read.parts.topics,
    },
    intake: intakeSlice(values, read.parts),
    processing: processingSlice(values, read.parts),
    subscriptions: { unselectiveMax: values.filtersUnselectiveMax },
    delivery: {
      connectionsMax: values.streamConnectionsMax,
      connectionsPerSubscriberMax: values.streamConnectionsPerSubscriberMax,
      drainMsMax: values.streamDrainMsMax,
    },
    webhooks: {
      allowPrivate: values.webhookAllowPrivate,
      attemptsMax: values.webhookAttempts,
      retryBaseMs: values.webhookRetryBaseMs,
      retryMaxMs: values.webhookRetryMaxMs,
      timeoutMs: values.webhookTimeoutMs,
      concurrency: values.webhookConcurrency,
    },
    names: namesSlice(values, read),
    retention: {
      idWindowHours: values.idWindowHours,
      logHours: values.logRetentionHours,
      rowDays: values.rowRetentionDays,
      deadLetterDays: values.deadLetterRetentionDays,
    },
    operations: {
      data,
      ...pick(values, 'drainMsMax', 'diskUsedRatioMax'),
      logLevel: values.logLevel ?? (read.from.terminal ? ('warn' as const) : ('info' as const)),
    },
  }
}

function httpSlice(values: SettingValues, read: Read) {
  const { tlsCertFile, tlsKeyFile } = values
  const tls =
    tlsCertFile === undefined || tlsKeyFile === undefined
      ? undefined
      : {
          certFile: pathOf('tlsCertFile', tlsCertFile, read),
          keyFile: pathOf('tlsKeyFile', tlsKeyFile, read),
        }
  const plain = pick(values, 'port', 'host', 'publicUrl', 'trustedProxies', 'insecureHttp', 'corsOrigins')
  return { ...plain, bodyBytesMax: values.bodyBytesMax, tls }
}

function databaseSlice(values: SettingValues, read: Read) {
  return {
    data: pathOf('data', values.data, read),
    url: values.databaseUrl,
    allowUnsynced: values.allowUnsynced,
    migrations: read.parts.migrations,
    /** False if somebody chose the folder: then it must work as it is. */
    dataIsDefault: (read.found.get('data')?.length ?? 0) === 0,
  }
}

function namesSlice(values: SettingValues, read: Read) {
  return {
    profile: values.namesProfile,
    expected: values.namesExpected,
    rulesFile: values.namesRules === undefined ? undefined : pathOf('namesRules', values.namesRules, read),
    bitmap:
      values.redisUrl === undefined
        ? undefined
        : {
            url: values.redisUrl,
            key: values.bloomFilterKey,
            bits: values.bloomFilterSize,
            hashes: values.bloomFilterHashCount,
          },
    rates: {
      address: values.namesRateAddress,
      network: values.namesRateNetwork,
      all: values.namesRateAll,
    },
    seedFile: pathOf('usersDataPath', values.usersDataPath, read),
  }
}

function intakeSlice(values: SettingValues, parts: ConfigParts) {
  return {
    rateMax: values.intakeRateMax,
    ...pick(values, 'ackDelayMsMax', 'backlogSecondsMax', 'diskUsedRatioMax', 'futureSkewSecondsMax'),
    ...pick(values, 'strictTypes', 'bodyBytesMax', 'eventBytesMax', 'batchEventsMax'),
    eventTypes: parts.eventTypes,
  }
}

function processingSlice(values: SettingValues, parts: ConfigParts) {
  return {
    ...pick(values, 'retryAttempts', 'retryBaseMs', 'retryMaxMs', 'handlerTimeoutMs'),
    ...pick(values, 'handlerConcurrency', 'orderPerKey', 'demo'),
    eventTypes: parts.eventTypes,
    handlers: parts.handlers,
  }
}

/** An absolute path for a setting that names a file or folder; in a config file, relative to that file. */
function pathOf(key: SettingKey, value: string, read: Read): string {
  return isAbsolute(value) ? value : resolve(read.found.get(key)?.[0]?.folder ?? read.from.cwd, value)
}

function pick<Key extends SettingKey>(
  values: SettingValues,
  ...keys: readonly Key[]
): Pick<SettingValues, Key> {
  return Object.fromEntries(keys.map((key) => [key, values[key]])) as Pick<SettingValues, Key>
}
