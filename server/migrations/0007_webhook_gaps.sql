-- Times that events of a webhook could not be sent because the log did not reach back to its position any more.
alter table webhooks
  add column gaps integer not null default 0,
  add column last_gap_at timestamptz;
