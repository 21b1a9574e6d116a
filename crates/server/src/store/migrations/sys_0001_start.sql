-- What every application has beside its own tables. Each key begins with the application, so the
-- tables may be shared by all of them (PostgreSQL) or stand in a file each (SQLite). The platform
-- itself has app_id ''.

create table sys.settings (
    app_id     {text} not null,
    version    {int} not null,
    body       {text} not null,
    changed_at {int} not null,
    changed_by {text} not null,
    primary key (app_id, version)
){strict};

create table sys.schemas (
    app_id  {text} not null primary key,
    version {int} not null
){strict};

create table sys.tables (
    app_id   {text} not null,
    id       {text} not null,
    name     {text} not null,
    physical {text} not null,
    created  {int} not null,
    primary key (app_id, id),
    unique (app_id, name)
){strict};

create table sys.columns (
    app_id        {text} not null,
    table_id      {text} not null,
    id            {text} not null,
    position      {int} not null,
    name          {text} not null,
    physical      {text} not null,
    type          {text} not null,
    size          {int},
    is_required   {bool} not null,
    is_unique     {bool} not null,
    is_indexed    {bool} not null,
    is_identity   {bool} not null,
    default_value {text},
    custom_regex  {text},
    validator     {text}, -- {"id": …, "params": …}
    made_by       {text} not null, -- system | developer | client
    created       {int} not null,
    primary key (app_id, id),
    unique (app_id, table_id, name)
){strict};

create table sys.identities (
    app_id  {text} not null,
    kind    {text} not null, -- login; each provider has its own
    value   {text} not null, -- canonical
    user_id {text} not null,
    primary key (app_id, kind, value)
){strict};

create index {index:identities_by_user} on sys.identities (app_id, user_id);

create table sys.credentials (
    app_id     {text} not null,
    user_id    {text} not null,
    hash       {text} not null, -- PHC
    changed_at {int} not null,
    primary key (app_id, user_id)
){strict};

create table sys.sessions (
    app_id    {text} not null,
    hash      {bytes} not null, -- SHA-256 of the token
    id        {text} not null,
    user_id   {text} not null,
    created   {int} not null,
    last_seen {int} not null, -- at most half a flush behind the truth
    expires   {int}, -- absolute; absent: none
    ended     {int}, -- kept for a while where the answer depends on why
    via       {text} not null,
    device    {text} not null,
    address   {text} not null,
    agent     {text} not null,
    level     {int} not null,
    provider  {text},
    primary key (app_id, hash)
){strict};

create index {index:sessions_by_user} on sys.sessions (app_id, user_id);

create table sys.failures (
    app_id   {text} not null,
    identity {text} not null, -- canonical, whether somebody has it or not
    count    {int} not null,
    last     {int} not null,
    locked   {int}, -- until then; absent: not locked
    primary key (app_id, identity)
){strict};

create table sys.events (
    app_id  {text} not null,
    id      {text} not null, -- sorts by time
    at      {int} not null,
    kind    {text} not null,
    by_kind {text} not null, -- nobody | user | server-code | developer | operator | system
    by_id   {text} not null,
    about   {text} not null,
    change  {text} not null, -- JSON: what was, what is
    request {text} not null,
    address {text} not null,
    primary key (app_id, id)
){strict};

create table sys.outbox (
    app_id      {text} not null,
    id          {text} not null,
    event_id    {text} not null,
    sink        {text} not null,
    payload     {text} not null,
    created     {int} not null,
    run_at      {int} not null, -- of a failed one: when it was given up
    attempts    {int} not null,
    lease_until {int} not null,
    state       {text} not null, -- waiting | failed
    error       {text} not null, -- of the last try
    primary key (app_id, id)
){strict};

create index {index:outbox_by_time} on sys.outbox (state, run_at);

create table sys.jobs (
    app_id      {text} not null,
    id          {text} not null,
    kind        {text} not null,
    payload     {text} not null,
    dedupe      {text}, -- at most one unfinished job of a kind has it
    run_at      {int} not null, -- of a failed one: when it was given up
    attempts    {int} not null, -- tries since it last got on
    fence       {int} not null, -- rises whenever it changes hands; who holds an older one is too late
    lease_until {int} not null,
    owner       {text} not null, -- the node that took it last
    state       {text} not null, -- waiting | failed
    progress    {int} not null, -- per mille
    checkpoint  {text} not null,
    error       {text} not null,
    created     {int} not null,
    primary key (app_id, id),
    unique (app_id, kind, dedupe)
){strict};

create index {index:jobs_by_time} on sys.jobs (state, run_at);

create table sys.changes (
    {changes}, -- the transaction that wrote it; nodes read by difference of snapshots
    app_id {text} not null,
    kind   {text} not null,
    about  {text} not null,
    at     {int} not null
){strict};

create index {index:changes_by_xid} on sys.changes (xid);
create index {index:changes_by_time} on sys.changes (at);
