//! PostgreSQL.

use std::sync::Arc;

use crate::cell::{Database, PostgresOptions};
use crate::db::Common;
use crate::error::{Error, Result};
use crate::row::Row;
use crate::value::{Flow, ValueRef};
use crate::work::{Counters, Job};

pub(crate) struct Session;
impl Session {
    pub(crate) fn batch(&self, _: &str) -> Result<()> {
        Err(Error::Closed)
    }
    pub(crate) fn execute(&self, _: &str, _: &[ValueRef<'_>]) -> Result<u64> {
        Err(Error::Closed)
    }
    pub(crate) fn query(
        &self,
        _: &str,
        _: &[ValueRef<'_>],
        _: &mut dyn FnMut(&Row<'_>) -> Flow,
    ) -> Result<()> {
        Err(Error::Closed)
    }
}
pub(crate) struct Engine;
impl Engine {
    pub(crate) fn start(_: &PostgresOptions, _: &Arc<Common>, _: &Arc<Counters>) -> Result<Self> {
        Err(Error::other("PostgreSQL comes in a moment"))
    }
    pub(crate) fn push(&self, job: Job, _: bool) {
        job.answer_with(Error::Closed);
    }
    pub(crate) async fn close(&self) {}
}
pub(crate) async fn check(_: &Database) -> Result<()> {
    Ok(())
}
pub(crate) async fn create_place(_: &Database) -> Result<()> {
    Ok(())
}
pub(crate) async fn drop_place(_: &Database) -> Result<()> {
    Ok(())
}
pub(crate) fn value_at(_: &tokio_postgres::Row, _: usize) -> Result<ValueRef<'_>> {
    Err(Error::Closed)
}
