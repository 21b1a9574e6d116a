//! Objects that are about to be written: each is prepared, then all are applied in one transaction.
//!
//! Wire: data-api 2.1 and 2.8. Those of `Users` go by the rules of accounts, through
//! [`users::write`](crate::users::write). If one is refused nothing is written, and of a list the
//! refusal says which one it was.

use std::collections::HashSet;
use std::sync::Arc;

use hashes::Lane;
use serde_json::{Map, Value, json};

use super::grow::{self, Tables, Tries};
use crate::address::Group;
use crate::error::{Error, Result};
use crate::events::{self, Event};
use crate::password::Door;
use crate::roles::{self, Decision, Operation};
use crate::schema::record::{self, Cells};
use crate::schema::{Column, Kind, Table, USERS, common_columns, names, values};
use crate::sessions::brake;
use crate::store::users::Status;
use crate::store::{self, Tx, objects};
use crate::users::update::Rights;
use crate::users::write::{self as accounts, Change, Edit, NewUser};
use crate::users::{register, update};
use crate::web::Caller;

/// The most objects of one call (decision 14).
pub const MOST: usize = 1000;
/// Passwords of one call that are hashed at a time.
const HASHED_AT_ONCE: usize = 8;
/// What clients send along with objects, and what is no property of them.
const ACCOMPANYING: &[&str] = &["___class", "___jsonclass", "__meta", "user-token"];

/// Who asks.
#[derive(Clone, Copy)]
pub enum By<'a> {
    /// A client: what it may do is decided here.
    Caller(&'a Caller),
    /// A developer, whose right has been checked.
    Developer,
}

/// What is to become of an object that comes with an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// It is new, and has the id.
    Create,
    /// It is there.
    Change,
    /// It is there, or it is new.
    Upsert,
}

/// An object as it was sent.
pub struct Sent {
    /// The id, if it has one.
    pub id: Option<String>,
    /// Its properties, and what came with them.
    pub body: Map<String, Value>,
}

impl Sent {
    /// An object with the id that it brings itself. Fails with 1007 if that is no text.
    pub fn new(body: Map<String, Value>) -> Result<Self> {
        let id = match body.get("objectId") {
            None | Some(Value::Null) => None,
            Some(Value::String(id)) => Some(id.clone()).filter(|it| !it.is_empty()),
            Some(Value::Number(id)) => Some(id.to_string()),
            Some(_) => return Err(Error::wrong_type("objectId")),
        };
        Ok(Self { id, body })
    }
}

/// Writes one object and gives it as it is then, as JSON.
pub async fn one(
    change: Change,
    by: By<'_>,
    table: &str,
    (how, sent): (How, Sent),
) -> Result<Vec<u8>> {
    let (sent, mut tries) = ([sent], Tries::new(change));
    loop {
        let tried = match plan(&tries.change, by, table, (how, &sent, false)).await {
            Err(error) => Err(error),
            Ok(plan) => {
                let keep = tries.change.clone();
                let data = keep.app.realm.data.clone();
                let write = data.write(move |tx| {
                    let (table, ids) = plan.apply(tx, &keep)?;
                    let mut out = Vec::new();
                    objects::write_one(tx, &table, &ids[0], &mut out)?;
                    out.push(b'}');
                    Ok::<_, Error>(out)
                });
                write.await
            }
        };
        if let Some(written) = tries.settle(tried).await? {
            return Ok(written);
        }
    }
}

/// Writes objects, all of them or none, and gives their ids in the order in which they were sent.
pub async fn many(
    change: Change,
    by: By<'_>,
    table: &str,
    (how, sent): (How, Vec<Sent>),
) -> Result<Vec<String>> {
    let mut tries = Tries::new(change);
    loop {
        let tried = match plan(&tries.change, by, table, (how, &sent, true)).await {
            Err(error) => Err(error),
            Ok(plan) => {
                let keep = tries.change.clone();
                let data = keep.app.realm.data.clone();
                data.write(move |tx| Ok(plan.apply(tx, &keep)?.1)).await
            }
        };
        if let Some(ids) = tries.settle(tried).await? {
            return Ok(ids);
        }
    }
}

/// Whether the caller may do that to the object with that id, or to a new one. Fails with 2000 on
/// users, and with 1011 and 1012 on other tables.
fn is_allowed(by: By<'_>, operation: Operation, table: &str, id: Option<&str>) -> Result<()> {
    let By::Caller(caller) = by else { return Ok(()) };
    let users = table == USERS;
    let may = match (roles::may(caller, operation, table), id) {
        (Decision::Allow, _) => true,
        (Decision::Own, Some(id)) => users && caller.user() == Some(id),
        (Decision::Own, None) | (Decision::Deny, _) => false,
    };
    match operation {
        _ if may => Ok(()),
        _ if users => Err(Error::denied()),
        Operation::Create => Err(Error::create_denied(table)),
        _ => Err(Error::update_denied(table)),
    }
}

/// What happens to one object.
enum Step {
    New { id: String, cells: Cells, unknown: Vec<(String, Value)> },
    Changed { id: String, cells: Cells, unknown: Vec<(String, Value)> },
    NewUser(Box<NewUser>),
    ChangedUser(Box<Edit>),
}

impl Step {
    fn id(&self) -> &str {
        match self {
            Self::New { id, .. } | Self::Changed { id, .. } => id,
            Self::NewUser(user) => user.id.as_str(),
            Self::ChangedUser(edit) => edit.id.as_str(),
        }
    }

    /// Whether it changes what is there.
    fn is_there(&self) -> bool {
        matches!(self, Self::Changed { .. } | Self::ChangedUser(_))
    }

    fn unknown(&self) -> &[(String, Value)] {
        match self {
            Self::New { unknown, .. } | Self::Changed { unknown, .. } => unknown,
            Self::NewUser(user) => &user.unknown,
            Self::ChangedUser(edit) => &edit.unknown,
        }
    }
}

/// What happens to all of them.
struct Plan {
    table: String,
    how: How,
    steps: Vec<Step>,
    /// Properties that the table lacks, of all of them.
    unknown: Vec<(String, Value)>,
    /// Who owns what is new.
    owner: Option<String>,
    /// Where users register.
    place: Option<Group>,
    /// Whether a refusal says which object it is about.
    counted: bool,
    /// Whether an object came with its id.
    named: bool,
}

async fn plan(
    change: &Change,
    by: By<'_>,
    name: &str,
    (how, sent, counted): (How, &[Sent], bool),
) -> Result<Plan> {
    let at = |index: usize| move |it: Error| if counted { it.at(index) } else { it };
    if sent.is_empty() {
        is_allowed(by, Operation::Create, name, None)?;
    }
    for (index, one) in sent.iter().enumerate() {
        let operation = match (how, &one.id) {
            (How::Create, _) | (_, None) => Operation::Create,
            (How::Change | How::Upsert, Some(_)) => Operation::Update,
        };
        is_allowed(by, operation, name, one.id.as_deref()).map_err(at(index))?;
    }
    let mut there = existing(change, name, how, sent).await?;
    let table = change.schema.table(name);
    if table.is_none() && (how == How::Change || !change.app.settings.data.dynamic_schema) {
        return Err(Error::no_such_table(name));
    }
    // What is new, and what is there.
    let mut known = Vec::with_capacity(sent.len());
    let mut added = HashSet::new();
    for (index, one) in sent.iter().enumerate() {
        let id = one.id.as_deref().filter(|_| how != How::Create);
        known.push(match id {
            // The change of a user is made ready from what the user is, and there is nothing yet.
            Some(id) if name == USERS && added.contains(id) => {
                let message = format!("The list adds a user twice: {id}");
                return Err(at(index)(Error::bad_parameter(message)));
            }
            Some(id) if there.contains(id) => true,
            Some(id) if how == How::Change => return Err(at(index)(Error::no_such_object(id))),
            Some(id) => {
                is_allowed(by, Operation::Create, name, None).map_err(at(index))?;
                there.insert(id.to_owned());
                added.insert(id);
                false
            }
            None => false,
        });
    }
    let mut steps = Vec::with_capacity(sent.len());
    if name == USERS {
        for (chunk, part) in sent.chunks(HASHED_AT_ONCE).enumerate() {
            let part = part.iter().enumerate().map(|(offset, one)| {
                let index = chunk * HASHED_AT_ONCE + offset;
                let (known, lane) =
                    (known[index], if counted { Lane::Bulk } else { Lane::Interactive });
                async move { user(change, by, (one, known), lane).await.map_err(at(index)) }
            });
            steps.extend(futures_util::future::try_join_all(part).await?);
        }
    } else {
        for (index, (one, known)) in sent.iter().zip(known).enumerate() {
            let table = table.map(|it| &**it);
            steps.push(object(change, table, name, (one, known)).map_err(at(index))?);
        }
    }
    let unknown: Vec<_> = steps.iter().flat_map(|it| it.unknown().iter().cloned()).collect();
    let (owner, place) = match by {
        By::Caller(caller) => (caller.user().map(str::to_owned), register::place_of(caller)),
        By::Developer => (None, None),
    };
    let named = sent.iter().any(|it| it.id.is_some());
    Ok(Plan { table: name.to_owned(), how, steps, unknown, owner, place, counted, named })
}

/// Those of the ids that are there.
async fn existing(change: &Change, name: &str, how: How, sent: &[Sent]) -> Result<HashSet<String>> {
    let ids: Vec<String> = sent.iter().filter_map(|it| it.id.clone()).collect();
    let Some(table) = change.schema.table(name) else { return Ok(HashSet::new()) };
    if how == How::Create || ids.is_empty() {
        return Ok(HashSet::new());
    }
    let table = Arc::clone(table);
    let read = change.app.realm.data.read(move |db| {
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        objects::existing(db, &table, &ids)
    });
    read.await
}

/// A user, by the rules of accounts.
async fn user(
    change: &Change,
    by: By<'_>,
    (sent, known): (&Sent, bool),
    lane: Lane,
) -> Result<Step> {
    if let Some(id) = sent.id.as_deref().filter(|_| known) {
        let rights = match by {
            By::Caller(caller) => Rights::of(caller, Door::Update, id),
            By::Developer => Rights::of_developer(),
        };
        let edit = update::prepare(change, &rights, (id, Error::no_such_object), &sent.body, lane);
        return Ok(Step::ChangedUser(Box::new(edit.await?)));
    }
    let (door, status) = match by {
        By::Caller(caller) => {
            let open = change.app.settings.registration.user_registration_enabled;
            if !open && !caller.is_server_code() {
                return Err(Error::registration_off());
            }
            brake::registration(&change.server, caller).await?;
            // Where an address must be confirmed a client cannot say that it is (security I-6).
            let confirms = change.app.settings.registration.email_confirmation_required;
            let pending = confirms && !caller.is_server_code();
            let status = if pending { Status::Pending } else { Status::Enabled };
            (Door::CreateObject, status)
        }
        By::Developer => (Door::ConsoleCreate, Status::Enabled),
    };
    let how = (door, status, lane);
    let mut user = register::prepare(change, how, &sent.body, &[]).await?;
    if let Some(id) = &sent.id {
        is_id(change.users()?, id)?;
        user.id = crate::ids::UserId(id.as_str().into());
    }
    Ok(Step::NewUser(Box::new(user)))
}

/// An object of any other table.
fn object(
    change: &Change,
    table: Option<&Table>,
    name: &str,
    (sent, known): (&Sent, bool),
) -> Result<Step> {
    let body = &sent.body;
    let unknown = unknown(change, table, name, body)?;
    if let Some(id) = sent.id.clone().filter(|_| known) {
        let cells = table.map_or_else(|| Ok(Cells::new()), |it| record::of_changed(it, body))?;
        return Ok(Step::Changed { id, cells, unknown });
    }
    let cells = match table {
        None => Cells::new(),
        Some(table) => {
            record::is_complete(table, body, &[])?;
            record::of_new(table, body, &[])?
        }
    };
    let id = match (&sent.id, table) {
        (None, _) => change.server.random.object_id(change.author.at),
        (Some(id), None) => {
            let column = Column::blank("objectId", Kind::StringId, crate::schema::Maker::System);
            values::to_stored(&column, &Value::from(id.as_str()))?;
            id.clone()
        }
        (Some(id), Some(table)) => {
            is_id(table, id)?;
            id.clone()
        }
    };
    Ok(Step::New { id, cells, unknown })
}

/// Refuses what cannot be an id: 8023.
fn is_id(table: &Table, id: &str) -> Result<()> {
    let column = table.column("objectId").ok_or_else(|| Error::internal("no objectId"))?;
    values::to_stored(column, &Value::from(id))?;
    Ok(())
}

/// The properties that the table lacks and will get. Fails with 1021 where tables do not grow, with
/// 1038 and 3038 for names that no column can have.
pub fn unknown(
    change: &Change,
    table: Option<&Table>,
    name: &str,
    body: &Map<String, Value>,
) -> Result<Vec<(String, Value)>> {
    let common = common_columns();
    let mut unknown = Vec::new();
    for (property, value) in body {
        let operation = value.get("___operation").is_some()
            || value.get("___class").is_some_and(|it| it == "BackendlessExpression");
        if operation {
            let message = format!("Operations and expressions are not available yet: {property}");
            return Err(Error::bad_parameter(message));
        }
        let there = match table {
            Some(table) => table.column(property).is_some(),
            None => common.iter().any(|it| it.name == *property),
        };
        // Relations are made by developers, and nothing says of what kind null is.
        if there || ACCOMPANYING.contains(&property.as_str()) || Kind::guess(value).is_none() {
            continue;
        }
        if property.contains('`') {
            return Err(Error::back_tick(property));
        }
        if change.app.settings.data.dynamic_schema && !names::allowed(property) {
            return Err(Error::bad_parameter(
                "A property's name is a letter or underscore, then letters, digits and underscores, 45 at most",
            ));
        }
        unknown.push((property.clone(), value.clone()));
    }
    if !unknown.is_empty() && !change.app.settings.data.dynamic_schema {
        let names: Vec<&str> = unknown.iter().map(|it| it.0.as_str()).collect();
        return Err(Error::unknown_properties(&names.join(", "), name));
    }
    Ok(unknown)
}

impl Plan {
    /// Does it, and gives the table as it is then and the ids.
    fn apply(&self, tx: &Tx<'_>, change: &Change) -> Result<(Arc<Table>, Vec<String>)> {
        let there = change.schema.table(&self.table).is_some();
        let grows = if there { Tables::by(&self.unknown) } else { Tables::Grow };
        let change = &grow::hold(tx, change, &self.table, grows)?;
        let schema = grow::grown(tx, change, &self.table, &self.unknown)?;
        let change = &Change { schema, ..change.clone() };
        let table = change.schema.table(&self.table).cloned();
        let table = table.ok_or_else(|| Error::no_such_table(&self.table))?;
        if self.meets_others(&table) {
            store::schema::hold_lists(tx, &table)?;
        }
        let changed: Vec<&str> =
            self.steps.iter().filter(|it| it.is_there()).map(Step::id).collect();
        if self.steps.len() > 1 && !changed.is_empty() {
            objects::lock(tx, &table, &changed)?;
        }
        for (index, step) in self.steps.iter().enumerate() {
            self.step(tx, change, &table, step).map_err(|it| match it.code {
                // Somebody else was quicker: look again what is there.
                1000 | 1101 if self.how == How::Upsert => Error::table_changed(),
                // The identity is that of the very user.
                3033 if self.how == How::Upsert && is_in(tx, &table, step.id()) => {
                    Error::table_changed()
                }
                _ if self.counted => it.at(index),
                _ => it,
            })?;
        }
        Ok((table, self.steps.iter().map(|it| it.id().to_owned()).collect()))
    }

    /// Whether it takes several things that another list may want in another order: ids, and values
    /// that are unique.
    fn meets_others(&self, table: &Table) -> bool {
        let unique = table.columns.iter().any(|it| it.rules.unique || it.identity);
        let adds = self.steps.iter().any(|it| !it.is_there());
        self.steps.len() > 1 && (unique || self.named && adds)
    }

    fn step(&self, tx: &Tx<'_>, change: &Change, table: &Table, step: &Step) -> Result<()> {
        match step {
            Step::New { id, cells, unknown } => {
                let cells = grow::cells(table, cells, unknown)?;
                insert(tx, change, table, (id, self.owner.as_deref()), cells)
            }
            Step::Changed { id, cells, unknown } => {
                let cells = grow::cells(table, cells, unknown)?;
                change_one(tx, change, table, id, cells)
            }
            Step::NewUser(user) => {
                brake::registered(tx, user.id.as_str(), self.place, change.author.at)?;
                accounts::insert(tx, change, user, Event::UserCreated).map(|_| ())
            }
            Step::ChangedUser(edit) => {
                let done = accounts::update(tx, change, std::slice::from_ref(edit));
                match done {
                    Err(error) if error.code == 3030 => {
                        Err(Error::no_such_object(edit.id.as_str()))
                    }
                    done => done.map(|_| ()),
                }
            }
        }
    }
}

fn is_in(tx: &Tx<'_>, table: &Table, id: &str) -> bool {
    objects::existing(tx, table, &[id]).is_ok_and(|it| !it.is_empty())
}

fn insert<'a>(
    tx: &Tx<'_>,
    change: &Change,
    table: &'a Table,
    (id, owner): (&str, Option<&str>),
    mut cells: Vec<objects::Cell<'a>>,
) -> Result<()> {
    for (name, value) in [
        ("objectId", Value::from(id)),
        ("ownerId", owner.map_or(Value::Null, Value::from)),
        ("created", Value::from(change.author.at.0)),
    ] {
        if let Some(column) = table.column(name) {
            cells.push((column, values::to_stored(column, &value)?));
        }
    }
    objects::insert(tx, table, &cells)?;
    let what = json!({ "table": table.name });
    events::record(tx, &change.server.random, &change.author, Event::ObjectCreated, id, &what)
}

/// Changes the object with that id. Fails with 1000.
fn change_one<'a>(
    tx: &Tx<'_>,
    change: &Change,
    table: &'a Table,
    id: &str,
    mut cells: Vec<objects::Cell<'a>>,
) -> Result<()> {
    let changed: Vec<&Column> = cells.iter().map(|it| it.0).collect();
    if objects::lock(tx, table, &[id])?.is_empty() {
        return Err(Error::no_such_object(id));
    }
    let before = objects::read(tx, table, &changed, id)?;
    if let Some(column) = table.column("updated") {
        cells.push((column, values::to_stored(column, &Value::from(change.author.at.0))?));
    }
    objects::update(tx, table, id, &cells)?;
    let after = objects::read(tx, table, &changed, id)?;
    let mut what = accounts::difference(before, after);
    what["table"] = json!(table.name);
    events::record(tx, &change.server.random, &change.author, Event::ObjectUpdated, id, &what)
}
