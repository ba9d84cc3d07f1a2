-- Events that wait behind one of their key that the receiver of a webhook does not take, while it takes those of other
-- keys. They are here so that the position of the webhook can pass them.
create table webhook_parked (
  -- Made of the place in the log, so that an event is parked once whoever does it.
  id            uuid primary key,
  webhook_id    uuid not null references webhooks on delete cascade,
  -- Topic, partition and the key whose order holds.
  key           text collate "C" not null,
  event_id      uuid not null,
  -- As it is sent: the event with its position.
  body          text not null,
  topic         text not null,
  partition     smallint not null,
  log_epoch     bigint not null,
  record_offset bigint not null,
  received_at   timestamptz not null
);
create index webhook_parked_order on webhook_parked (webhook_id, key, log_epoch, record_offset);

alter table webhooks
  add column parked integer not null default 0,
  -- The last gap: from, to, reason, and whether the receiver has been told.
  add column last_gap jsonb;
