//! A look at all that a server keeps, for tests that search it.

use std::path::{Path, PathBuf};

use server::error::Error;
use server::store::Database;

use crate::harness::{TestApp, TestServer};

/// Forgets what sources have used up of their limits, which nodes that share the data write down.
pub async fn forget_sources(server: &TestServer, app: &TestApp) {
    for data in [&server.server.apps.data(&app.id), &server.server.apps.platform.data] {
        data.write(|tx| tx.exec("delete from sys.sources", &[])).await.unwrap();
    }
}

/// Every row of every table that the database of `data` has, as text.
pub async fn everything(data: &Database) -> Vec<String> {
    let read = data.read(|db| {
        let mut rows = Vec::new();
        let read = |row: &server::store::Row<'_>| row.get::<String>("name");
        let tables: Vec<String> = match db.dialect() {
            engine::Dialect::Sqlite => {
                let sql = "select name from sqlite_schema where type = 'table'";
                db.rows(sql, &[], |row| Ok(format!("\"{}\"", row.get::<String>("name")?)))?
            }
            engine::Dialect::Postgres => db.rows(
                "select format('%I.%I', table_schema, table_name) as name
                 from information_schema.tables
                 where table_type = 'BASE TABLE'
                   and table_schema not in ('pg_catalog', 'information_schema')",
                &[],
                read,
            )?,
        };
        for table in tables {
            let sql = match db.dialect() {
                engine::Dialect::Postgres => format!("select t::text as name from {table} t"),
                engine::Dialect::Sqlite => {
                    let columns: Vec<String> = db.rows(
                        &format!("select name from pragma_table_info({})", table.replace('"', "'")),
                        &[],
                        read,
                    )?;
                    let all: Vec<String> =
                        columns.iter().map(|it| format!("quote(\"{it}\")")).collect();
                    format!("select {} as name from {table}", all.join(" || '|' || "))
                }
            };
            rows.extend(db.rows(&sql, &[], read)?);
        }
        Ok::<_, Error>(rows)
    });
    read.await.unwrap()
}

/// All files below `dir`.
pub fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.is_file() {
            found.push(path);
        }
    }
    found
}
