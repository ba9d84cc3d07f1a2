import type { EventLog } from '@pulse/log'
import type pg from 'pg'
import type { Logger } from 'pino'
import type { Registry } from 'prom-client'
import type { Config } from './config/config.ts'
import type { Database } from './database/database.ts'
import type { Observations, Observed } from './operations/observations.ts'
import type { Schemas } from './schemas/schemas.ts'

/** What every step of the start hands to the next. */
export interface Foundation {
  readonly config: Config
  readonly version: string
  readonly metrics: Registry
  readonly observations: Observations & Observed
  readonly database: Database
  readonly schemas: Schemas
  /** Names of all topics. */
  readonly topics: readonly string[]
  /** A team's own handlers; in demo mode also the one that fails. */
  readonly handlers: Config['processing']['handlers']
  readonly log: EventLog
  /** Connections for requests. */
  readonly pool: pg.Pool
  /** The logger of a module. */
  module(name: string): Logger
  /** Whether this process has a role. */
  does(role: 'intake' | 'processing' | 'delivery' | 'query' | 'names' | 'web'): boolean
  state: 'starting' | 'running' | 'draining'
  /** Empty until the server listens. */
  baseUrl: string
}

/** Connections to the database at most, by what they are for: none of these must wait for another. */
export const poolMax = {
  requests: 10,
  processing: 4,
  subscriptions: 4,
  accounts: 2,
  background: 2,
  watch: 3,
  webhooks: 2,
  names: 8,
} as const

export const hourMs = 3_600_000
