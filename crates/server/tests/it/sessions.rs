//! Sessions: how they begin, live on and end.

use crate::harness::TestServer;

#[tokio::test]
async fn a_session_begins_with_a_login_and_ends_with_a_logout() {
    let server = TestServer::start().await;
    let app = &server.app;
    let ann = app.user("ann@example.com").await;
    let token = app.token("ann@example.com").await;
    assert_eq!(app.read(&ann, &token).await.ok()["email"], "ann@example.com");

    app.log_out(&token).await.ok();
    app.read(&ann, &token).await.refused(3064);
    assert!(!app.is_valid(&token).await);
}
