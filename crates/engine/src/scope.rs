//! Whose data a unit of work is about, and where it lies.

use std::sync::Arc;

use crate::error::{Error, Result};

/// Whose data: every statement of a unit of work runs in one scope.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Scope {
    /// What the system tables hold as `app_id`; empty for the platform.
    pub id: Arc<str>,
    /// Where the data lies.
    pub place: Place,
}

/// Where data lies.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    /// The platform's own data. SQLite: `control.db`. PostgreSQL: schema `control`.
    Control,
    /// An application's data; its id in lower-case hexadecimal digits without dashes. SQLite:
    /// `apps/<id>/app.db`. PostgreSQL: schema `a_<id>`, and its part of the shared schema `sys`.
    App(Arc<str>),
}

impl Scope {
    /// The platform's own data.
    pub fn control() -> Self {
        Self { id: "".into(), place: Place::Control }
    }
}

impl Place {
    /// The application's id, if this is an application's place. An id becomes a part of a path and
    /// of a schema's name, so it is checked here, whoever made it.
    pub(crate) fn app(&self) -> Result<Option<&str>> {
        match self {
            Self::Control => Ok(None),
            Self::App(id) if is_id(id) => Ok(Some(id)),
            Self::App(_) => Err(Error::other(
                "the place of an application is not named by 1 to 60 lower-case letters and digits",
            )),
        }
    }
}

fn is_id(id: &str) -> bool {
    (1..=60).contains(&id.len())
        && id.bytes().all(|it| it.is_ascii_lowercase() || it.is_ascii_digit())
}
