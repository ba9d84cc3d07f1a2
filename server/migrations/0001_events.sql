-- What becomes of events: rows, retries, dead letters, and the keys of whole requests.

create table idempotency_keys (
  name       bytea primary key,
  body_hash  bytea not null,
  created_at timestamptz not null default now()
);
create index idempotency_keys_age on idempotency_keys using brin (created_at);

-- Processed events, by day of receipt (an event's own time may be decades away). Dropped by retention, day by day.
create table events (
  received_at    timestamptz not null,
  event_id       uuid not null,
  event_type     text not null,
  user_id        text,
  "timestamp"    timestamptz not null,
  processed_at   timestamptz not null default now(),
  log_epoch      bigint not null,
  record_offset  bigint not null,
  partition      smallint not null,
  schema_version integer not null,
  attempts       smallint not null default 1,
  status         text not null default 'processed',
  topic          text not null,
  source         text,
  properties     jsonb not null,
  enriched       jsonb
) partition by range (received_at);
create index events_received on events (received_at, event_id);
create index events_id on events (event_id);
create index events_type on events (event_type, received_at);
create index events_user on events (user_id, received_at);

-- Events that wait for another try, and later events of the same key that wait behind them.
create table retries (
  event_id        uuid primary key,
  topic           text not null,
  partition       smallint not null,
  record_offset   bigint not null,
  log_epoch       bigint not null,
  key             text not null,
  event           jsonb not null,
  received_at     timestamptz not null,
  parked_at       timestamptz not null default now(),
  attempts        smallint not null,
  next_attempt_at timestamptz not null,
  waits_for_key   boolean not null default false,
  error_class     text,
  error_message   text,
  handler         text,
  redriven_from   uuid
);
create index retries_due on retries (next_attempt_at) where not waits_for_key;
create index retries_key on retries (topic, key, partition, record_offset);

create table dead_letters (
  id            uuid primary key,
  event_id      uuid not null,
  event_type    text not null,
  user_id       text,
  event         jsonb not null,
  error_class   text not null,
  error_message text not null,
  handler       text not null,
  attempts      smallint not null,
  topic         text not null,
  partition     smallint not null,
  record_offset bigint not null,
  log_epoch     bigint not null,
  received_at   timestamptz not null,
  failed_at     timestamptz not null default now(),
  state         text not null default 'dead' check (state in ('dead', 'redriven')),
  redriven_at   timestamptz
);
create index dead_letters_failed on dead_letters (failed_at, id);
create index dead_letters_event on dead_letters (event_id);
create index dead_letters_type on dead_letters (event_type, failed_at);
create index dead_letters_user on dead_letters (user_id, failed_at);
create index dead_letters_received on dead_letters (received_at, event_id);
