/**
 * Settings of the embedded PostgreSQL, each with its reason. They are written to `pulse.conf` in the database's
 * folder at every start; `ALTER SYSTEM` goes over them, except for what makes an acknowledgement true, which is
 * checked at every connection.
 */
const settings: readonly (readonly [name: string, value: string])[] = [
  // An acknowledged event is on disk. These are the defaults; they stand here so that nobody has to look them up.
  ['fsync', 'on'],
  ['full_page_writes', 'on'],
  ['synchronous_commit', 'on'],

  // After a crash the log since the last finished checkpoint is replayed: up to max_wal_size under load. Measured on two
  // busy cores with 2,000 random ids and 150 KB per commit: 929 MB took 21 s, 463 MB 3.4 s, 379 MB 2.0 s, and the
  // smaller sizes cost no throughput (114 to 170 k ids/s). A time-out of 15 minutes leaves the size in charge.
  ['max_wal_size', '384MB'],
  ['checkpoint_timeout', '15min'],
  ['checkpoint_completion_target', '0.9'],
  // Old segments are used again, so a commit writes over allocated blocks and its sync need not touch the file system's
  // own journal.
  ['min_wal_size', '256MB'],
  // A group commit of several MB fits without a flush in its middle.
  ['wal_buffers', '16MB'],
  // Backup copies files between pg_backup_start and stop, which `minimal` would not allow.
  ['wal_level', 'replica'],
  ['max_wal_senders', '4'],

  // One generation of remembered ids (2 M, about 85 MB of index) stays in memory, and server and database
  // together stay below 300 MB. The operating system's cache holds the rest.
  ['shared_buffers', '128MB'],
  ['effective_cache_size', '1GB'],
  ['work_mem', '8MB'],
  ['maintenance_work_mem', '64MB'],
  // Whoever processes a partition reads it over a connection of its own.
  ['max_connections', '400'],
  // One process instead of three for reading ahead: nothing here scans much.
  ['io_workers', '1'],

  // Compiling a plan costs more than any of our statements.
  ['jit', 'off'],
  // Solid state: a random page costs little more than the next one.
  ['random_page_cost', '1.1'],
  ['autovacuum', 'on'],
  // The heads of the log are updated thousands of times per second; a minute of dead versions is too much.
  ['autovacuum_naptime', '15s'],

  ['timezone', 'UTC'],
  ['log_timezone', 'UTC'],
  // Errors of statements are reported to whoever sent them; a repeated id is one, and would fill the file.
  ['log_min_messages', 'log'],
  ['log_min_error_statement', 'panic'],
  ['log_checkpoints', 'off'],
]

const bySystem: Readonly<Record<string, readonly (readonly [name: string, value: string])[]>> = {
  // After a crash every file is synced before the recovery. One by one, a thousand files took 1.5 s here, and days of
  // rows have many more; this does the file system at once.
  linux: [['recovery_init_sync_method', 'syncfs']],
  // The default only reaches the drive's own memory, which a power cut empties.
  darwin: [['wal_sync_method', 'fsync_writethrough']],
}

/** The text of `pulse.conf` for a platform. */
export function settingsText(platform: NodeJS.Platform): string {
  const lines = [...settings, ...(bySystem[platform] ?? [])].map(([name, value]) => `${name} = '${value}'`)
  return `# Written by Pulse at every start. Use ALTER SYSTEM for settings of your own.\n${lines.join('\n')}\n`
}
