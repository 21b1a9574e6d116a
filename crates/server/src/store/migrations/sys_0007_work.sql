-- Objects that were written while work on their table went on: a trigger of the table notes them in
-- the transaction of the write, so that what has been looked at already is looked at again.
create table sys.touched (
    id        {auto},
    app_id    {text} not null,
    work_id   {text} not null,
    object_id {text} not null
){strict};

create index {index:touched_by_work} on sys.touched (app_id, work_id, id);

-- What the column is to become, as it was asked for; where its values go meanwhile; and why it was
-- refused, beside objects that are in the way.
alter table sys.schema_work add column wish {text} not null default '';
alter table sys.schema_work add column place {text};
alter table sys.schema_work add column reason {text};

-- The type of a dropped column, and whether it is empty and stays: dropping it would write a large
-- table anew, so a new column of the type takes its place.
alter table sys.dropped add column type {text};
alter table sys.dropped add column is_husk {bool} not null default false;

-- Who made a table: developer | client.
alter table sys.tables add column made_by {text} not null default 'developer';
