/** The statements of the PostgreSQL log, one constant each, with what a reader must know about locks. */

/**
 * One append group: advances the heads, stores one batch per partition, remembers the ids.
 * Heads are locked in one order (topic, partition), so groups of several servers queue instead of deadlocking;
 * ids are inserted in sorted order for the same reason. A head whose generation is not the expected one gives no
 * row: the caller has missed a rotation of remembered ids and must load the sealed filter before it tries again.
 * A head locked until commit makes offsets gapless, and visible in order. `clock_timestamp()` is read after the
 * lock, so it grows with the offset.
 */
export const appendGroup = `
with batch as (
  select * from unnest($1::int2[], $2::int2[], $3::int4[], $4::int4[], $5::text[], $6::int4[], $7::bytea[])
    with ordinality as b(topic, partition, records, ids, types, checksum, bytes, nr)
), locked as materialized (
  select h.topic, h.partition
  from log_heads h join batch b on h.topic = b.topic and h.partition = b.partition
  where h.generation = $8
  order by h.topic, h.partition
  for update of h
), advanced as (
  update log_heads h set next_offset = h.next_offset + b.records, ids = h.ids + b.ids
  from locked l join batch b on b.topic = l.topic and b.partition = l.partition
  where h.topic = l.topic and h.partition = l.partition and h.generation = $8
  returning b.nr, h.topic, h.partition, h.next_offset - b.records as base
), stored as (
  insert into log_batches (topic, partition, base_offset, last_offset, types, appended_at, append_id, checksum, bytes)
  select a.topic, a.partition, a.base, a.base + b.records - 1, string_to_array(b.types, ','), clock_timestamp(),
    $9::uuid, b.checksum, b.bytes
  from advanced a join batch b on b.nr = a.nr
), remembered as (
  insert into log_ids (generation, id, fingerprint, received_at, record_offset, topic, partition)
  select $8, i.id, i.fingerprint, i.received_at, a.base + i.place, a.topic, a.partition
  from unnest($10::uuid[], $11::uuid[], $12::int8[], $13::int4[], $14::int4[])
    as i(id, fingerprint, received_at, nr, place)
  join advanced a on a.nr = i.nr
  order by i.id
)
select nr::int4 as nr, base from advanced`

/** Which of these ids are remembered, each asked for in one generation. */
export const findIds = `
select g.id, g.fingerprint, g.received_at, g.record_offset, g.topic, g.partition
from unnest($1::int4[], $2::uuid[]) as asked(generation, id)
join log_ids g on g.generation = asked.generation and g.id = asked.id`

/** Batches of one append group: tells what became of a group whose connection was lost. */
export const findAppend = `
select topic, partition, base_offset from log_batches
where append_id = $1 and appended_at > now() - interval '1 hour'
  and (topic, partition, last_offset) in (
    select b.topic, b.partition, b.last_offset from log_heads h
    cross join lateral (
      select topic, partition, last_offset from log_batches
      where topic = h.topic and partition = h.partition and appended_at > now() - interval '1 hour'
      order by last_offset desc limit 100000
    ) b
    where (h.topic, h.partition) in (select * from unnest($2::int2[], $3::int2[]))
  )`

/**
 * The next batches of each wanted partition, at most `$4` of each and about `$5` bytes, from the offset wanted.
 * The bounds on `appended_at` let the executor skip the days before the reader's place in each of them.
 */
export const readBatches = `
select b.partition, b.base_offset, b.last_offset, (extract(epoch from b.appended_at) * 1000000)::int8 as appended_at,
  b.checksum, b.bytes
from unnest($2::int2[], $3::int8[], $6::timestamptz[]) as want(partition, next, since)
cross join lateral (
  select *, sum(octet_length(bytes)) over (order by last_offset) - octet_length(bytes) as before
  from (
    select * from log_batches
    where topic = $1 and partition = want.partition and last_offset >= want.next and appended_at >= want.since
    order by last_offset limit $4
  ) page
) b
where b.before < $5
order by b.partition, b.last_offset`

/** Start, end and epoch of a topic's partitions. */
export const readBounds = `
select t.id, t.epoch, h.partition, h.start_offset, h.next_offset
from log_topics t join log_heads h on h.topic = t.id
where t.name = $1 order by h.partition`
