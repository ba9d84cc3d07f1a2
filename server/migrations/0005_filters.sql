-- Filters of subscribers, every version of them that may still apply somewhere in the log, and how their changes were
-- made known: see server/src/subscriptions and docs/decisions/0016.

-- Changes of one moment. A control record that names it stands in every partition of every topic.
create table filter_announcements (
  id         uuid primary key,
  created_at timestamptz not null default now(),
  -- How often somebody set out to append the records, and when last. The first try counts from the row itself.
  tries      integer not null default 1,
  tried_at   timestamptz not null default now(),
  -- {"TOPIC": {"epoch": 1, "offsets": [by partition]}}. Where its records cannot lie below, for a log that cannot find
  -- repeats by itself; and the offsets after its first records, null until all of them are known to be there.
  searched_from jsonb,
  effective     jsonb,
  -- All that lies before it has left the log.
  passed     boolean not null default false
);
create index filter_announcements_open on filter_announcements (tried_at) where effective is null;
create index filter_announcements_kept on filter_announcements (created_at) where effective is not null and not passed;

create table filter_versions (
  id            bigint generated always as identity primary key,
  announcement  uuid not null references filter_announcements,
  subscriber_id text collate "C" not null,
  name          text collate "C" not null,
  version       integer not null,
  -- JSON as it was submitted, which jsonb would change; null: deleted.
  condition     text,
  selective     boolean not null,
  -- The newest version of the filter.
  current       boolean not null,
  -- When the filter was made, and when this version.
  created_at    timestamptz not null,
  changed_at    timestamptz not null default now(),
  unique (subscriber_id, name, version)
);
create unique index filter_versions_current on filter_versions (subscriber_id, name) where current;
create index filter_versions_unselective on filter_versions (id) where current and not selective;
create index filter_versions_announcement on filter_versions (announcement);
