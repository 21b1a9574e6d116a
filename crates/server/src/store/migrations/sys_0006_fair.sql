-- Turns at home beyond the limits; what sources have used up at all nodes; and how to find what is
-- old.

alter table sys.attempts add column turns {int} not null default 0;
alter table sys.attempts add column turn_at {int} not null default 0;
alter table sys.failures add column flying {int} not null default 0; -- being evaluated, at all nodes
create index {index:attempts_by_time} on sys.attempts (app_id, last);
create index {index:failures_by_time} on sys.failures (app_id, last);
create index {index:places_by_source} on sys.places (app_id, source, last);

create table sys.sources (
    app_id  {text} not null,
    what    {text} not null, -- guess, or registration
    source  {text} not null, -- an address or a prefix
    full_at {int} not null,  -- when the bucket is full again
    primary key (app_id, what, source)
){strict};
create index {index:sources_by_time} on sys.sources (app_id, full_at);
