-- Tables and columns that are gone from the catalog. Requests that began before may still use them,
-- so they are dropped a little later, and nothing new gets their name until then.
create table sys.dropped (
    app_id      {text} not null,
    id          {text} not null,
    table_name  {text} not null, -- physical
    column_name {text},          -- physical; null: the whole table
    at          {int} not null,
    primary key (app_id, id)
){strict};

-- What a developer has asked for that takes longer than a request: a change of the identity, a
-- check of the rows that are there.
create table sys.schema_work (
    app_id    {text} not null,
    id        {text} not null, -- the job's payload
    kind      {text} not null, -- identity | check
    table_id  {text} not null,
    column_id {text} not null,
    state     {text} not null, -- running | done | refused
    total     {int} not null,  -- rows at the beginning
    done      {int} not null,
    conflicts {int} not null,
    listed    {text} not null, -- JSON, the first of them
    created   {int} not null,
    primary key (app_id, id)
){strict};

-- The kind under which sys.identities has what users log in with: it changes with the identity.
alter table sys.schemas add column login_kind {text} not null default 'login';
