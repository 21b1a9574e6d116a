-- Guessing of passwords, by the place it comes from; and the places that users have come in from.

create table sys.attempts (
    app_id   {text} not null,
    identity {text} not null, -- canonical, whether somebody has it or not
    place    {text} not null, -- an address or a prefix, or a session that the client has shown
    count    {int} not null,
    last     {int} not null,
    primary key (app_id, identity, place)
){strict};

create table sys.places (
    app_id  {text} not null,
    user_id {text} not null,
    source  {text} not null, -- an address or a prefix
    last    {int} not null,
    primary key (app_id, user_id, source)
){strict};
