-- When the oldest event was received that the receiver of a webhook has not taken; null when none waits.
alter table webhooks add column waiting_since timestamptz;
