-- What belongs to the whole server: developers, applications, keys, domains.

create table control.developers (
    id            {text} not null primary key,
    email         {text} not null, -- canonical
    email_shown   {text} not null,
    name          {text} not null,
    password_hash {text} not null,
    status        {text} not null, -- ENABLED | DISABLED
    created       {int} not null,
    unique (email)
){strict};

create table control.apps (
    id      {text} not null primary key,
    name    {text} not null,
    owner   {text} not null references control.developers (id),
    profile {text} not null, -- standard | compat
    state   {text} not null, -- creating | active | deleting
    cell    {int} not null,
    created {int} not null,
    unique (owner, name)
){strict};

create table control.memberships (
    app_id       {text} not null references control.apps (id) on delete cascade,
    developer_id {text} not null references control.developers (id),
    rights       {text} not null, -- owner; single rights come with the teams of developers
    primary key (app_id, developer_id)
){strict};

create index {index:memberships_by_developer} on control.memberships (developer_id);

create table control.api_keys (
    id      {text} not null primary key,
    app_id  {text} not null references control.apps (id) on delete cascade,
    name    {text} not null,
    device  {text} not null, -- JS | REST | IOS | ANDROID | WP | AS | BL
    hash    {bytes} not null,
    sealed  {text} not null, -- for developers who look it up
    created {int} not null,
    unique (app_id, hash),
    unique (app_id, name)
){strict};

create table control.domains (
    id         {text} not null primary key,
    host       {text} not null, -- lower case, ASCII, no port
    app_id     {text} not null references control.apps (id) on delete cascade,
    api_key_id {text} not null references control.api_keys (id) on delete cascade,
    created    {int} not null,
    unique (host)
){strict};

create table control.setup_links (
    hash    {bytes} not null primary key,
    expires {int} not null
){strict};
