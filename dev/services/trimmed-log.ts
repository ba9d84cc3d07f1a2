import { openPostgresLog } from '@pulse/log/postgres'

/**
 * Takes away what lies below these offsets of a topic, as retention does, but at once. Returns where its partitions then
 * start: whole batches go, and none that a group has not read. Rejects with LogError.
 */
export async function trimLog(
  databaseUrl: string,
  topic: string,
  below: ReadonlyMap<number, number>,
): Promise<ReadonlyMap<number, number>> {
  const connection = { connectionString: databaseUrl, options: '-c search_path=pulse,public' }
  await using log = await openPostgresLog({ connection, durability: 'disk' })
  return await log.trim(topic, below)
}
