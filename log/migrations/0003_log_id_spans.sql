-- One filter for several sealed generations of remembered ids in a row: see log/src/postgres/id-filters.ts.

create table log_id_spans (
  first_generation integer primary key,
  last_generation  integer not null check (last_generation >= first_generation),
  built_at         timestamptz not null default now(),
  filter           bytea not null
);
alter table log_id_spans alter column filter set storage external;
