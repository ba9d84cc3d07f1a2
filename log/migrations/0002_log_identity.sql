-- Which life of the database the log was last opened in. A restored or promoted database has another one, and may hand
-- out offsets a second time: the topics then get a new epoch (log/src/postgres/log-identity.ts).

create table log_identity (
  only_row          boolean primary key default true check (only_row),
  system_identifier text not null,
  timeline          integer not null
);
