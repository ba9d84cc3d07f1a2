-- Addresses that the events of subscribers are sent to, see server/src/webhooks.
create table webhooks (
  id              uuid primary key,
  -- The order of lists.
  number          bigint generated always as identity unique,
  subscriber_id   text collate "C" not null,
  url             text not null,
  -- It has to sign, so it cannot be kept as a digest.
  secret          text not null,
  -- JSON as it was submitted, which jsonb would change. What is delivered (null: what the subscriber's stored filters
  -- let through), and what the credential that asked for it let through at most (null: everything).
  filter          text,
  enforced        text,
  status          text not null check (status in ('active', 'paused', 'failing')),
  reason          text,
  failures        integer not null default 0,
  -- Everything below is dealt with: taken, or a dead letter.
  position        text not null,
  delivered       bigint not null default 0,
  given_up        bigint not null default 0,
  last_success_at timestamptz,
  last_failure_at timestamptz,
  created_by      text not null,
  created_at      timestamptz not null default now(),
  updated_at      timestamptz not null default now(),
  -- Rises with every change that somebody asks for, so that who delivers takes notice.
  revision        integer not null default 1,
  -- Who delivers. The epoch rises with every owner; whoever writes with an older one is refused.
  epoch           bigint not null default 0,
  owner           uuid,
  lease_until     timestamptz
);
create index webhooks_subscriber on webhooks (subscriber_id);

-- Apart from the dead letters of handlers, because processing takes those for the only trace of an id: an event that no
-- receiver took may still have to be processed.
create table webhook_dead_letters (
  id            uuid primary key,
  webhook_id    uuid not null,
  event_id      uuid not null,
  event_type    text not null,
  user_id       text,
  event         jsonb not null,
  key           text not null,
  -- That of the stream after the event, as it was sent.
  position      text not null,
  error_class   text not null,
  error_message text not null,
  attempts      smallint not null,
  topic         text not null,
  partition     smallint not null,
  record_offset bigint not null,
  log_epoch     bigint not null,
  received_at   timestamptz not null,
  failed_at     timestamptz not null default now(),
  state         text not null default 'dead' check (state in ('dead', 'redriven')),
  redriven_at   timestamptz,
  -- It was redriven and has not been taken yet.
  waiting       boolean not null default false
);
create index webhook_dead_letters_failed on webhook_dead_letters (failed_at, id);
create index webhook_dead_letters_type on webhook_dead_letters (event_type, failed_at);
create index webhook_dead_letters_waiting on webhook_dead_letters (webhook_id, redriven_at) where waiting;

-- What nobody could do anything with, from wherever.
create view all_dead_letters as
  select id, event_id, event_type, user_id, event, error_class, error_message, handler, attempts, topic, partition,
    record_offset, received_at, failed_at, state, redriven_at
  from dead_letters
  union all
  select id, event_id, event_type, user_id, event, error_class, error_message, 'webhook:' || webhook_id, attempts, topic,
    partition, record_offset, received_at, failed_at, state, redriven_at
  from webhook_dead_letters;
