-- The event log: see log/src/postgres. One row of log_batches is one record batch.

create table log_topics (
  id         smallint generated always as identity primary key,
  name       text not null unique,
  partitions smallint not null check (partitions between 1 and 1024),
  epoch      bigint not null,
  created_at timestamptz not null default now()
);

-- One row per partition, locked until commit by every append: that is what makes offsets gapless and visible in
-- order. It also carries the current generation of remembered ids, so that no append can miss a rotation.
create table log_heads (
  topic        smallint not null references log_topics,
  partition    smallint not null,
  start_offset bigint not null default 0,
  next_offset  bigint not null default 0,
  generation   integer not null,
  ids          bigint not null default 0,
  primary key (topic, partition)
) with (fillfactor = 20, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

create table log_batches (
  topic        smallint not null,
  partition    smallint not null,
  base_offset  bigint not null,
  last_offset  bigint not null,
  types        text[] not null,
  appended_at  timestamptz not null default clock_timestamp(),
  append_id    uuid not null,
  checksum     integer not null,
  bytes        bytea not null
) partition by range (appended_at);
alter table log_batches alter column bytes set storage external;
create index log_batches_offset on log_batches (topic, partition, last_offset);

create table log_id_generations (
  generation integer primary key,
  created_at timestamptz not null default now(),
  sealed_at  timestamptz,
  ids        bigint,
  filter     bytea
);
alter table log_id_generations alter column filter set storage external;

create table log_ids (
  generation    integer not null,
  id            uuid not null,
  fingerprint   uuid not null,
  received_at   bigint not null,
  record_offset bigint not null,
  topic         smallint not null,
  partition     smallint not null
) partition by list (generation);

-- Named readers. A member is alive while its session holds its advisory lock and it was seen lately.
create table log_group_members (
  group_name text not null,
  member     uuid not null,
  seen_at    timestamptz not null default now(),
  primary key (group_name, member)
);

-- One row per partition that a group reads: who may, up to where it got, and what became of every offset below.
-- Every offset from first_offset to next_offset has exactly one verdict; the six counters add up to the difference.
create table log_group_partitions (
  group_name   text not null,
  topic        text not null,
  partition    smallint not null,
  log_epoch    bigint not null,
  first_offset bigint not null,
  next_offset  bigint not null,
  processed    bigint not null default 0,
  repeated     bigint not null default 0,
  dead         bigint not null default 0,
  parked       bigint not null default 0,
  dropped      bigint not null default 0,
  control      bigint not null default 0,
  epoch        bigint not null default 0,
  owner        uuid,
  lease_until  timestamptz,
  clean        boolean not null default true,
  trying       bigint,
  crashes      smallint not null default 0,
  stopped      text,
  primary key (group_name, topic, partition),
  check (processed + repeated + dead + parked + dropped + control = next_offset - first_offset)
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
