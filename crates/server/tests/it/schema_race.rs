//! Changes of columns beside everything else: writers, cancelling, deletions, long reads, other nodes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use http::Method;
use serde_json::json;
use server::clock::Seconds;
use server::console::developers;
use server::data::grow::{self, Tables, Tries};
use server::users::write::Change;

use crate::harness::{HORSE, Setup, TestServer, text, until};
use crate::properties::{add, crowd, drop as drop_column, ended, put, register};
use crate::schema_work::{change, count, pets};

/// Stops the first who runs a statement with certain words, until it is let go.
#[derive(Clone, Default)]
pub struct Gate {
    closed: Arc<AtomicBool>,
    held: Arc<AtomicBool>,
}

impl Gate {
    /// A server with that gate before each `here`.
    pub async fn server(&self, here: &'static str) -> TestServer {
        let gate = self.clone();
        let seen = move |sql: &str| {
            if sql.contains(here) && gate.closed.swap(false, Ordering::SeqCst) {
                gate.held.store(true, Ordering::SeqCst);
                let began = Instant::now();
                // Less than what a unit of work may take.
                while gate.held.load(Ordering::SeqCst) && began.elapsed().as_secs() < 4 {
                    std::thread::sleep(Duration::from_millis(1));
                }
            }
        };
        let hooks = engine::Hooks { seen: Some(Arc::new(seen)), ..engine::Hooks::default() };
        TestServer::with(Setup { hooks, ..Setup::default() }).await
    }

    pub fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
    }

    pub fn open(&self) {
        self.held.store(false, Ordering::SeqCst);
    }

    pub async fn is_reached(&self) {
        until("the statement comes", async || self.held.load(Ordering::SeqCst)).await;
    }
}

/// What a call gives, or nothing if it is not answered within a second: then it waits, and will be.
async fn tried<T>(call: impl Future<Output = T>) -> Option<T> {
    tokio::time::timeout(Duration::from_secs(1), call).await.ok()
}

#[tokio::test]
async fn work_that_is_cancelled_changes_nothing_however_far_it_is() {
    // While rows are gathered, and in the moment of the switch.
    for here in ["(app_id, kind, value, user_id)", "set login_kind"] {
        let gate = Gate::default();
        let server = gate.server(here).await;
        let (app, desk) = (&server.app, server.desk().await);
        add(&desk, "Users", json!({ "name": "handle", "dataType": "STRING" })).await.ok();
        crowd(&server, 1_100).await;
        register(&server, "ann@x.de", json!({ "handle": "ann" })).await.ok();
        gate.close();
        let begun = put(&desk, "handle", json!({ "identity": true })).await.ok();
        let id = text(&begun["work"]);
        gate.is_reached().await;
        let path = format!("/schemawork/{id}");
        let cancel = desk.about(Method::DELETE, &path).send();
        tokio::pin!(cancel);
        let answered = tried(&mut cancel).await;
        gate.open();
        let cancelled = match answered {
            Some(reply) => reply,
            None => cancel.await,
        };
        let work = ended(&desk, &id).await;
        // Either the cancelling was in time, or the work was done and it was refused.
        let expected = if cancelled.code() == 0 { "refused" } else { "done" };
        assert_eq!(work["state"], expected, "{here}: {cancelled:?} {work}");
        let (now, not) = if expected == "done" { ("ann", "ann@x.de") } else { ("ann@x.de", "ann") };
        app.login(now, HORSE).await.ok();
        app.login(not, HORSE).await.refused(3003);
        if expected == "refused" {
            assert_eq!(work["reason"], "it was cancelled");
            let gathered =
                "select count(*) as n from sys.identities where app_id = ?1 and kind <> 'login'";
            until("what was gathered is gone", async || count(&server, gathered).await == 0).await;
            // The same can be asked for again.
            let begun = put(&desk, "handle", json!({ "identity": true })).await.ok();
            let work = ended(&desk, &text(&begun["work"])).await;
            // The crowd has no mail address of its own in the list of identities, but handles.
            assert_eq!(work["state"], "done", "{work}");
        }
        desk.about(Method::DELETE, &path).send().await.refused(3038);
    }
}

#[tokio::test]
async fn i_07_who_is_deleted_while_the_identity_changes_leaves_nothing_behind() {
    let gate = Gate::default();
    let server = gate.server("(app_id, kind, value, user_id)").await;
    let (app, desk) = (&server.app, server.desk().await);
    add(&desk, "Users", json!({ "name": "handle", "dataType": "STRING" })).await.ok();
    crowd(&server, 1_100).await;
    let ann =
        text(&register(&server, "ann@x.de", json!({ "handle": "ann" })).await.ok()["objectId"]);
    gate.close();
    let begun = put(&desk, "handle", json!({ "identity": true })).await.ok();
    gate.is_reached().await;
    // The first rows have been read, and none has been gathered.
    let delete = |id: &str| app.server_code(Method::DELETE, &format!("/users/{id}")).send();
    let (first, last) = (delete("crowd-0"), delete(&ann));
    let both = join_all([first, last]);
    tokio::pin!(both);
    let answered = tried(&mut both).await;
    gate.open();
    let replies = match answered {
        Some(replies) => replies,
        None => both.await,
    };
    for reply in &replies {
        assert_eq!(reply.code(), 0, "{reply:?}");
    }
    let work = ended(&desk, &text(&begun["work"])).await;
    assert_eq!(work["state"], "done", "{work}");
    for handle in ["h0", "ann"] {
        let email = format!("{handle}@y.de");
        register(&server, &email, json!({ "handle": handle })).await.ok();
    }
}

#[tokio::test]
async fn what_was_checked_against_older_tables_is_checked_again() {
    let server = TestServer::start().await;
    let desk = server.desk().await;
    pets(&server, &desk, "STRING", std::iter::once(json!("a"))).await;
    let app = server.server.apps.by_id(&server.app.id.0).await.unwrap().unwrap();
    let author = developers::operator(&server.server);
    let mut tries = Tries::new(Change::new(server.server.clone(), app.clone(), author));
    let hold = async |change: &Change| {
        let change = change.clone();
        let hold = move |tx: &server::store::Tx<'_>| {
            grow::hold(tx, &change, "Pet", Tables::Stay).map(drop)
        };
        app.realm.data.write(hold).await
    };
    assert!(tries.settle(hold(&tries.change).await).await.unwrap().is_some());
    change(&desk, json!({ "required": true })).await.ok();
    let stale = hold(&tries.change).await;
    assert_eq!(stale.as_ref().unwrap_err().code, 20043);
    assert!(tries.settle(stale).await.unwrap().is_none(), "it is to be tried again");
    let table = tries.change.schema.table("Pet").unwrap();
    assert!(table.column("p").unwrap().rules.required);
    assert!(tries.settle(hold(&tries.change).await).await.unwrap().is_some());
}

#[tokio::test]
async fn a_rule_that_comes_between_the_check_and_the_write_holds() {
    // Whoever registers has been checked, and is about to write.
    let gate = Gate::default();
    let server = gate.server("pg_advisory_xact_lock_shared").await;
    if !server.home().is_shared() {
        return;
    }
    let desk = server.desk().await;
    for name in ["badge", "shoe"] {
        add(&desk, "Users", json!({ "name": name, "dataType": "STRING" })).await.ok();
    }
    for (name, wish, more, expected) in [
        ("badge", json!({ "required": true }), json!({}), 3012),
        ("badge", json!({ "validator": { "id": "uuid" } }), json!({ "badge": "b" }), 8023),
        (
            "shoe",
            json!({ "dataType": "INT" }),
            json!({ "badge": "018bcfe5-6800-7f44-bc3a-0791e4045a63", "shoe": "41" }),
            0,
        ),
    ] {
        gate.close();
        let email = format!("{}@x.de", server.server.random.opaque());
        let come = register(&server, &email, more);
        let rule = async {
            gate.is_reached().await;
            put(&desk, name, wish.clone()).await.ok();
            gate.open();
        };
        let (came, ()) = tokio::join!(come, rule);
        assert_eq!(came.code(), expected, "{wish}: {came:?}");
        if name == "shoe" {
            assert_eq!(came.ok()["shoe"], 41);
        }
    }
}

#[tokio::test]
async fn a_column_is_dropped_beside_a_long_read_and_nobody_waits_long() {
    let server = TestServer::start().await;
    let Some((reader, _serving)) = server.home().stranger().await else { return };
    let (app, desk) = (&server.app, server.desk().await);
    add(&desk, "Users", json!({ "name": "shoe", "dataType": "INT" })).await.ok();
    let ann = app.user("ann@x.de").await;
    drop_column(&desk, "Users", "shoe").await.ok();
    let schema = format!("a_{}", app.id.place());
    reader.batch_execute("begin").await.unwrap();
    reader.query(&format!(r#"select * from {schema}."Users""#), &[]).await.unwrap();
    server.clock.advance(Seconds(61));
    let tries = "select coalesce(max(attempts), 0) as n from sys.jobs where app_id = ?1 and kind = 'schema.drop'";
    until("the drop is tried", async || count(&server, tries).await > 0).await;
    let failed = "select count(*) as n from sys.jobs where app_id = ?1 and kind = 'schema.drop' and error <> ''";
    until("the drop gives way", async || {
        app.server_code(Method::GET, &format!("/users/{ann}")).send().await.ok();
        app.login("ann@x.de", HORSE).await.ok();
        count(&server, failed).await > 0
    })
    .await;
    // And so does a developer's change, which can be asked for again.
    put(&desk, "name", json!({ "indexed": true })).await.refused(20001);
    app.login("ann@x.de", HORSE).await.ok();
    reader.batch_execute("commit").await.unwrap();
    until("the column is gone", async || {
        server.clock.advance(Seconds(60));
        count(&server, "select count(*) as n from sys.dropped where app_id = ?1").await == 0
    })
    .await;
    // It has been a while.
    let desk = server.desk().await;
    put(&desk, "name", json!({ "indexed": true })).await.ok();
}

#[tokio::test]
async fn an_expression_of_the_owner_holds_up_nobody() {
    let server = TestServer::start().await;
    let (app, desk) = (&server.app, server.desk().await);
    // As slow as an expression may be, on as many values as are looked at in a request.
    let rows = (0..900).map(|_| json!("ab".repeat(10_000)));
    pets(&server, &desk, "TEXT", rows).await;
    let slow = json!({ "customRegex": "[ab]*a[ab]{700}" });
    let begun = change(&desk, slow.clone()).await.ok();
    let id = text(&begun["work"]);
    let mut answered = 0;
    until("the work has ended", async || {
        app.guest().await;
        answered += 1;
        let all = desk.about(Method::GET, "/schemawork").send().await.ok();
        all.as_array().unwrap().iter().any(|it| it["id"] == id.as_str() && it["state"] == "done")
            || answered > 20
    })
    .await;
    let path = format!("/schemawork/{id}");
    desk.about(Method::DELETE, &path).send().await;
    let refuse = json!({ "customRegex": "[ab]*a[ab]{701}", "onFailing": "refuse" });
    let begun = change(&desk, refuse).await.ok();
    app.guest().await;
    let path = format!("/schemawork/{}", text(&begun["work"]));
    desk.about(Method::DELETE, &path).send().await;
}

#[tokio::test]
async fn columns_change_under_traffic_and_nobody_is_turned_away_or_deadlocked() {
    let server = TestServer::compat().await;
    let (app, desk) = (&server.app, server.desk().await);
    add(&desk, "Users", json!({ "name": "handle", "dataType": "STRING" })).await.ok();
    add(&desk, "Users", json!({ "name": "shoe", "dataType": "STRING" })).await.ok();
    crowd(&server, 1_050).await;
    let mut known = Vec::new();
    for number in 0..8 {
        let more = json!({ "handle": format!("k{number}"), "shoe": "40" });
        let made = register(&server, &format!("k{number}@x.de"), more).await.ok();
        known.push(text(&made["objectId"]));
    }
    let ends = AtomicBool::new(false);
    let client = async |number: usize| {
        let (mut round, mut seen) = (0, Vec::new());
        while !ends.load(Ordering::SeqCst) {
            round += 1;
            let name = format!("n{number}r{round}");
            let (email, user) = (format!("{name}@x.de"), &known[number]);
            let more = json!({ "handle": name, "shoe": "41" });
            let made = register(&server, &email, more.clone()).await;
            let by = if made.code() == 0 { text(&made.json()["objectId"]) } else { user.clone() };
            let update = app.update(&by, "", json!({ "shoe": "42", "name": name })).await;
            let (id, token) = app.guest().await;
            let mut guest =
                json!({ "objectId": id, "email": format!("g{email}"), "password": HORSE });
            guest["handle"] = json!(format!("g{name}"));
            let converted = app.post("/users/register", guest).token(&token).send().await;
            let login = app.login(&format!("k{number}@x.de"), HORSE).await;
            let gone = app.server_code(Method::DELETE, &format!("/users/{by}")).send().await;
            seen.extend([made, update, converted, login]);
            if by != *user {
                seen.push(gone);
            }
        }
        seen
    };
    let changes = async {
        for round in 0..2 {
            let index = json!({ "indexed": round % 2 == 0 });
            let kind = if round % 2 == 0 { "INT" } else { "STRING" };
            for (name, wish) in [
                ("name", index),
                ("shoe", json!({ "dataType": kind })),
                ("handle", json!({ "required": true, "defaultValue": "h" })),
                ("handle", json!({ "required": false, "defaultValue": null })),
                (
                    "handle",
                    json!({ "validator": { "id": "length", "params": { "max": 400 } }, "onFailing": "refuse" }),
                ),
                ("handle", json!({ "validator": null })),
            ] {
                let begun = put(&desk, name, wish.clone()).await.ok();
                if let Some(id) = begun["work"].as_str() {
                    let work = ended(&desk, id).await;
                    assert_eq!(work["state"], "done", "{wish}: {work}");
                }
            }
            let wish = json!({ "name": "extra", "dataType": "STRING", "required": true, "defaultValue": "e" });
            let begun = add(&desk, "Users", wish).await.ok();
            ended(&desk, &text(&begun["work"])).await;
            drop_column(&desk, "Users", "extra").await.ok();
        }
        ends.store(true, Ordering::SeqCst);
    };
    let clients = join_all((0..6).map(client));
    let (seen, ()) = tokio::join!(clients, changes);
    let codes: Vec<u64> = seen.iter().flatten().map(crate::harness::Reply::code).collect();
    assert!(codes.len() >= 6, "there was traffic: {}", codes.len());
    let odd: Vec<_> = seen.iter().flatten().filter(|it| it.status.is_server_error()).collect();
    assert!(odd.is_empty(), "{odd:?}");
    if let Some((client, _serving)) = server.home().stranger().await {
        let sql = "select deadlocks from pg_stat_database where datname = current_database()";
        let deadlocks: i64 = client.query_one(sql, &[]).await.unwrap().get(0);
        assert_eq!(deadlocks, 0);
    }
}
