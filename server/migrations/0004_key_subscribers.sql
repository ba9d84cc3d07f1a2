-- Whose streams a key may read: a pattern in which `*` stands for any characters. Null, as for every key until now: anyone's.
alter table account_keys add column subscribers text;
