//! What is dead goes away by itself.

use server::clock::{Millis, Seconds};

use crate::harness::{TestServer, until};

/// Whose sessions are in the tables of the application and of the platform.
async fn stored_sessions(server: &TestServer) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let apps = &server.server.apps;
    for data in [apps.data(&server.app.id), apps.platform.data.clone()] {
        let read = data.read(|db| {
            let sql = "select user_id from sys.sessions where app_id = ?1";
            db.rows(sql, &[&db.app()], |row| row.get::<String>("user_id"))
        });
        found.extend(read.await.unwrap());
    }
    found
}

#[tokio::test]
async fn dead_sessions_are_swept_and_live_ones_are_not() {
    let server = TestServer::start().await;
    let app = &server.app;
    let ann = app.user("ann@example.com").await;
    let bob = app.user("bob@example.com").await;
    let eve = app.user("eve@example.com").await;
    app.token("ann@example.com").await;
    let bobs = app.token("bob@example.com").await;
    app.token("eve@example.com").await;
    app.set_status(&eve, "DISABLED").await.ok();
    server.desk().await;
    // Ann does not use her session, and Bob does.
    for _ in 0..4 {
        server.clock.advance(Seconds(3000));
        app.read(&bob, &bobs).await.ok();
        server::sessions::flush(&server.server, Millis(i64::MAX)).await;
    }
    // Rounds are an hour apart, and there were some; this one comes for sure.
    server.clock.advance(Seconds(3500));
    app.read(&bob, &bobs).await.ok();
    server.clock.advance(Seconds(200));
    let rows = async |user: &String| {
        stored_sessions(&server).await.iter().filter(|it| *it == user).count()
    };
    until("the dead one is swept", async || rows(&ann).await == 0).await;
    assert_eq!(rows(&bob).await, 1, "a live one stays");
    assert_eq!(rows(&eve).await, 1, "a disabled user is told why");
    app.read(&bob, &bobs).await.ok();

    // After a month nobody's is left, nor the developer's. A round that ends while the clock jumps
    // puts the next one an hour after the jump, so time goes on.
    server.clock.advance(Seconds(31 * 24 * 3600));
    until("all are swept", async || {
        server.clock.advance(Seconds(3600));
        stored_sessions(&server).await.is_empty()
    })
    .await;
}
