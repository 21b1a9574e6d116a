//! Who may do what: the one decision function for rows.

use crate::schema::USERS;
use crate::settings::Profile;
use crate::store::users::Status;
use crate::web::Caller;

/// The names of the roles that a user has. As yet they are the system's own, by the kind of user;
/// roles that developers make come to stand here too.
pub fn of(status: Status) -> &'static [&'static str] {
    match status {
        Status::Guest => &["GuestUser"],
        Status::Enabled | Status::Disabled | Status::Pending => &["AuthenticatedUser"],
    }
}

/// What a caller wants to do with the rows of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Add one.
    Create,
    /// Read them.
    Find,
    /// Change them.
    Update,
    /// Remove them.
    Delete,
    /// Know which columns there are.
    Describe,
}

/// What the rules say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Yes, with all rows.
    Allow,
    /// No.
    Deny,
    /// Yes, with the rows that belong to the caller.
    Own,
}

/// Whether `caller` may do `operation` on `table`.
///
/// Two fixed policies until an application has rules of its own: `compat` grants everything, as
/// the original does for a new application; `standard` lets users see, change and remove their own
/// record and nothing else (security C-1). The server-code key may do everything in both.
pub fn may(caller: &Caller, operation: Operation, table: &str) -> Decision {
    if caller.is_server_code() || caller.app.profile == Profile::Compat {
        return Decision::Allow;
    }
    match (operation, caller.user()) {
        // As open as `users/userclassprops`: a client shows a form of them to register with.
        (Operation::Describe, _) if table == USERS => Decision::Allow,
        (Operation::Find | Operation::Update | Operation::Delete, Some(_)) if table == USERS => {
            Decision::Own
        }
        _ => Decision::Deny,
    }
}

/// Whether `caller` may do `operation` on the user with that id, who need not be there.
pub fn may_user(caller: &Caller, operation: Operation, id: &str) -> bool {
    match may(caller, operation, USERS) {
        Decision::Allow => true,
        Decision::Own => caller.user() == Some(id),
        Decision::Deny => false,
    }
}
