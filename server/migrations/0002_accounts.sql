-- Who may do what: see server/src/accounts. Secrets stand here as SHA-256 only; they are 32 random bytes, so a slow
-- hash would protect nothing and cost every request.

create table account_keys (
  id           uuid primary key default gen_random_uuid(),
  name         text not null,
  secret_hash  bytea not null unique,
  scopes       text[] not null,
  rate_limit   text,
  created_by   text not null,
  created_at   timestamptz not null default now(),
  last_used_at timestamptz,
  revoked_at   timestamptz
);
create index account_keys_created on account_keys (created_at desc, id desc);

create table account_sessions (
  id          uuid primary key default gen_random_uuid(),
  secret_hash bytea not null unique,
  role        text not null check (role in ('viewer', 'operator', 'admin')),
  created_at  timestamptz not null default now(),
  expires_at  timestamptz not null
);

create table account_sign_in_links (
  secret_hash bytea primary key,
  role        text not null check (role in ('viewer', 'operator', 'admin')),
  expires_at  timestamptz not null
);

-- Tickets live 30 seconds: after a crash their loss costs a client one more request.
create unlogged table account_tickets (
  secret_hash bytea primary key,
  caller      jsonb not null,
  expires_at  timestamptz not null
);

create table account_revoked_tokens (
  id         uuid primary key,
  revoked_at timestamptz not null default now(),
  expires_at timestamptz not null
);

-- Rises with every change of keys, sessions and revoked tokens, in the change's own statement. Its row lock makes the
-- order of revisions the order of commits, so a server that sees a revision also sees everything up to it.
create table account_revision (
  singleton boolean primary key default true check (singleton),
  revision  bigint not null
);
insert into account_revision (revision) values (0);
