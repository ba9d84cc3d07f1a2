import { relative } from 'node:path'
import type { App } from './app.ts'
import type { Config } from './config/config.ts'

const promises: Record<string, string> = {
  disk: 'acknowledged = on disk (fsync), survives kill -9 and power loss',
  unsynced: 'acknowledged = NOT synced to disk, may be lost with power (ALLOW_UNSYNCED)',
}

/** The lines that a start prints: at most eight, each answering one question of somebody who starts it for the first time. */
export async function bannerOf(app: App, from: { config: Config; version: string }): Promise<string> {
  const { config, version } = from
  const base = config.http.publicUrl ?? app.url
  const below = relative(process.cwd(), app.keyPath)
  const key = below.startsWith('..') ? app.keyPath : below
  const auth = config.open ? '' : ` -H "Authorization: Bearer $(cat ${quoted(key)})"`
  const promise = promises[app.durability] ?? `acknowledged = on ${app.durability.slice(9)} replicas`
  const lines = [
    `Pulse ${version}`,
    `  Dashboard  ${await app.signInLink()}  (signs in once, 30 min)`,
    `  API, docs  ${base}  ${base}/docs`,
    `  Data       ${app.database.location}  ${promise}`,
    config.open ? '  Key        none needed: --open allows everything' : `  Key        ${key}  (admin)`,
    `  Try        curl ${base}/events${auth} -H 'Content-Type: application/json' -d '{"event_type":"page_view","user_id":"you"}'`,
    `  Bound to   ${app.url}${config.open || config.demo ? '  (this machine only)' : ''}`,
  ]
  return lines.join('\n')
}

const quoted = (path: string) => (/^[\w./-]+$/.test(path) ? path : `'${path.replaceAll("'", `'\\''`)}'`)
