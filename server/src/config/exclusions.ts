import { isIP } from 'node:net'
import type { ConfigProblem } from './config-error.ts'
import type { SettingValues } from './settings.ts'

/** True if only programs of this machine can reach a server that listens on this host. */
function isLoopback(host: string): boolean {
  const plain = host.toLowerCase().replace(/^\[|\]$/g, '')
  if (plain === 'localhost' || plain === '::1' || plain === '::ffff:127.0.0.1') return true
  return isIP(plain) === 4 && plain.startsWith('127.')
}

/** Settings that are good on their own and wrong together, each with its way out. */
export function excludedTogether(values: SettingValues): ConfigProblem[] {
  return [...wrongAccess(values), ...wrongTls(values), ...wrongStorage(values), ...wrongProcessing(values)]
}

function wrongAccess(values: SettingValues): ConfigProblem[] {
  const problems: ConfigProblem[] = []
  const loopback = isLoopback(values.host)
  if (values.open && !loopback)
    problems.push({
      setting: 'OPEN',
      message: `everything is allowed with it, so it works on a loopback HOST only, not on ${values.host}; leave it out, or use HOST 127.0.0.1`,
    })
  if (values.demo && !loopback)
    problems.push({
      setting: 'DEMO',
      message: `it mixes sample events with real ones, so it works on a loopback HOST only, not on ${values.host}; leave it out, or use HOST 127.0.0.1`,
    })
  const tls = values.tlsCertFile !== undefined && values.tlsKeyFile !== undefined
  const behindProxy = values.publicUrl?.startsWith('https:') === true && values.trustedProxies.length > 0
  if (!loopback && !tls && !behindProxy && !values.insecureHttp)
    problems.push({
      setting: 'HOST',
      message: `${values.host} is reachable from other machines, and keys would travel readable; set TLS_CERT_FILE and TLS_KEY_FILE, or an https PUBLIC_URL with TRUSTED_PROXIES, or allow it with --insecure-http`,
    })
  if (values.open && values.corsOrigins.includes('*'))
    problems.push({
      setting: 'CORS_ORIGINS',
      message: 'with OPEN, * lets every page that a browser here visits read everything; name the origins',
    })
  if (values.corsOrigins.includes('*') && values.corsOrigins.length > 1)
    problems.push({ setting: 'CORS_ORIGINS', message: '* allows every origin; leave out the others, or *' })
  return problems
}

function wrongTls(values: SettingValues): ConfigProblem[] {
  const { tlsCertFile, tlsKeyFile } = values
  if ((tlsCertFile === undefined) === (tlsKeyFile === undefined)) return []
  const [missing, given] =
    tlsCertFile === undefined ? ['TLS_CERT_FILE', 'TLS_KEY_FILE'] : ['TLS_KEY_FILE', 'TLS_CERT_FILE']
  return [{ setting: missing, message: `TLS needs both files, and only ${given} is set` }]
}

function wrongStorage(values: SettingValues): ConfigProblem[] {
  if (values.logDriver !== 'kafka') return []
  const problems: ConfigProblem[] = []
  if (values.kafkaBrokers.length === 0)
    problems.push({
      setting: 'KAFKA_BROKERS',
      message: 'LOG_DRIVER kafka needs at least one broker as host:port',
    })
  if (values.rowRetentionDays * 24 < values.idWindowHours)
    problems.push({
      setting: 'ROW_RETENTION_DAYS',
      message: `${values.rowRetentionDays} days are less than ID_WINDOW_HOURS, ${values.idWindowHours} hours, and with LOG_DRIVER kafka ids are known by their rows`,
    })
  return problems
}

function wrongProcessing(values: SettingValues): ConfigProblem[] {
  const problems: ConfigProblem[] = []
  if (values.retryMaxMs < values.retryBaseMs)
    problems.push({
      setting: 'RETRY_MAX_MS',
      message: `${values.retryMaxMs} ms is shorter than RETRY_BASE_MS, ${values.retryBaseMs} ms`,
    })
  if (values.eventBytesMax > values.bodyBytesMax)
    problems.push({
      setting: 'EVENT_BYTES_MAX',
      message: `${values.eventBytesMax} bytes do not fit into BODY_BYTES_MAX, ${values.bodyBytesMax} bytes`,
    })
  return problems
}
