-- Names that are taken, see server/src/names. The primary key is the only unique index of names. No row is
-- inserted beside `claims.ts`: its hash has to be with everybody before it counts.
create table names (
  -- Normal form under which names are compared.
  key        text collate "C" primary key,
  -- As it was claimed.
  name       text not null,
  -- Whom the claim was made for, as the claimant says.
  owner      text,
  -- Who claimed: a credential.
  claimed_by text not null,
  -- Digest of the Idempotency-Key, so that a repeated claim is told from a second one.
  claim      bytea,
  claimed_at timestamptz not null default now()
);

-- One row. The id tells filters on disk whose names they hold; profile and version are those that made the keys.
create table name_set (
  one     boolean primary key default true check (one),
  id      uuid not null default gen_random_uuid(),
  profile text,
  -- Version of Unicode that the keys were made with.
  unicode text,
  -- What proves that a bitmap in Redis has every name, see redis-proof.ts.
  bitmap  jsonb
);
insert into name_set default values;

-- Processes that answer "free" from memory. Each raises its beat twice a second and says up to which offset of the topic
-- of hashes it has applied; a claim waits for all of them.
create table name_leases (
  process uuid primary key,
  epoch   bigint not null,
  applied bigint not null,
  beat    bigint not null default 0
) with (fillfactor = 20, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
