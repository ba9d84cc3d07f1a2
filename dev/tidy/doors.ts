/**
 * Who may see whom. Names on the right are rooms (folders of the repository) that the room on the left may import.
 * `dev` may see all; test code may besides see `dev`, where the services and the seeds live.
 */
export const arrows: Readonly<Record<string, readonly string[]>> = {
  protocol: [],
  log: ['protocol'],
  server: ['protocol', 'log'],
  client: ['protocol'],
  web: ['protocol', 'client'],
  // `pulse start` and `pulse config` speak about the server itself: its package door, and nothing behind it.
  cli: ['protocol', 'client', 'server'],
  // A team's own handlers are written against the server's `defineConfig`.
  examples: ['protocol', 'client', 'server'],
  dev: ['protocol', 'log', 'server', 'client', 'web', 'cli', 'examples'],
}

/**
 * A module is a folder of `server/src`; its front door is the file with the folder's name. These further files are
 * open as well, each because its words are used by every module while the front door behind them is heavy.
 */
export const sideDoors: ReadonlySet<string> = new Set([
  'server/src/config/define-config.ts',
  'server/src/database/ask.ts',
  'server/src/database/unless-away.ts',
  'server/src/http/access.ts',
  'server/src/http/address-name.ts',
  'server/src/http/bodies.ts',
  'server/src/http/event-stream.ts',
  'server/src/http/openapi.ts',
  'server/src/http/problem-error.ts',
  'server/src/http/rate-limiter.ts',
  'server/src/http/upgrade.ts',
  'server/src/intake/uuid-v5.ts',
  'server/src/operations/observations.ts',
  // For tests: a server with routes of theirs.
  'server/src/http/http-world.ts',
  // The words and the work of filters: delivery matches with them, many times for every event.
  'server/src/subscriptions/clauses.ts',
  // For tests: keys that reach every partition.
  'server/src/subscriptions/control-records.ts',
  'server/src/subscriptions/filter-error.ts',
  'server/src/subscriptions/matches.ts',
  'server/src/subscriptions/matching-index.ts',
  'server/src/subscriptions/tree.ts',
])

/** The log's files that other rooms may use, besides the port itself (`log/src/log.ts`). */
export const logDoors: ReadonlySet<string> = new Set([
  'log/src/answered.ts',
  'log/src/bloom-filter.ts',
  'log/src/control-record.ts',
  'log/src/groups.ts',
  'log/src/log.ts',
  'log/src/migrate.ts',
  'log/src/murmur2.ts',
  'log/src/one-at-a-time.ts',
  'log/src/open-once.ts',
  'log/src/postgres/day-partitions.ts',
  // For tests: topics that an operator has set up badly, and fresh databases with the log's schema.
  'log/src/kafka/kafka-engine.ts',
  'log/src/postgres/postgres-engine.ts',
  'log/src/suite-records.ts',
])

/** Engines behind the log's port. Everything but the wiring sees the port alone. */
export const drivers: ReadonlySet<string> = new Set([
  'log/src/postgres/postgres.ts',
  'log/src/kafka/kafka.ts',
])

/** The one file that chooses drivers and hands every module what it needs. */
export const wiring = 'server/src/app.ts'

/** The module of the server that a file belongs to, or undefined. */
export function moduleOf(path: string): string | undefined {
  return /^server\/src\/([^/]+)\//.exec(path)?.[1]
}

/** The room that a file belongs to. */
export function roomOf(path: string): string {
  return path.split('/')[0] ?? ''
}

/** Whether a file of a server module may be imported from outside its module. */
export function isDoor(path: string): boolean {
  const name = moduleOf(path)
  return name === undefined || path === `server/src/${name}/${name}.ts` || sideDoors.has(path)
}
