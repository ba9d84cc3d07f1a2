-- Dropped events are few among many: a list of them must not read every row there is.
create index events_dropped on events (received_at, event_id) where status = 'dropped';
