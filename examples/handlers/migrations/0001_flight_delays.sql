-- One row per flight, written by the handler in flight-departed.ts.
create table flight_delays (
  event_id       uuid primary key,
  departed_at    timestamptz not null,
  origin         text not null,
  destination    text not null,
  distance_miles integer not null,
  delay_minutes  integer not null,
  delay_class    text not null check (delay_class in ('early', 'on_time', 'late', 'very_late'))
);
create index flight_delays_origin on flight_delays (origin, departed_at);
