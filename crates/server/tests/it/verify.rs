//! Checking the password of whoever is logged in (users-api 2.16).

use http::Method;
use serde_json::json;

use crate::harness::{Call, HORSE, TestServer};
use crate::update::events;

const SPELLINGS: [&str; 2] = ["/users/verifypassword", "/users/verifypassowrd"];

#[tokio::test]
async fn u_r40_server_code_learns_whether_it_is_the_password_of_who_is_logged_in() {
    for server in TestServer::in_each_profile().await {
        let app = &server.app;
        app.user("ann@example.com").await;
        app.register("bob@example.com", "another horse").await.ok();
        let token = app.token("ann@example.com").await;
        for path in SPELLINGS {
            for (password, valid) in [
                (json!(HORSE), true),
                (json!("wrong wrong"), false),
                (json!("another horse"), false),
                (json!("Correct horse"), false),
                (json!(""), false),
                (json!(null), false),
                (json!(["correct horse"]), false),
            ] {
                let call = app.server_code(Method::POST, path).token(&token);
                let answer = call.body(json!({ "password": password })).send().await.ok();
                assert_eq!(answer, json!({ "valid": valid }), "{path} {password}");
            }
        }
        let (_, guest) = app.guest().await;
        let call = app.server_code(Method::POST, SPELLINGS[0]).token(&guest);
        let answer = call.body(json!({ "password": HORSE })).send().await.ok();
        assert_eq!(answer, json!({ "valid": false }));
    }
}

#[tokio::test]
async fn u_r41_u_r42_the_token_comes_first_then_the_key_then_whether_there_is_a_token() {
    for server in TestServer::in_each_profile().await {
        let app = &server.app;
        app.user("ann@example.com").await;
        let live = app.token("ann@example.com").await;
        for path in SPELLINGS {
            let body = || json!({ "password": HORSE });
            let with = |call: Call, token: &str| {
                let call = if token.is_empty() { call } else { call.token(token) };
                call.body(body()).send()
            };
            let dead =
                "Not existing user token - invalid-token. Relogin user to update your user token";
            let key = "Password verification allowed only from CloudCode";
            let nobody = "No authenticated user is associated with request";
            for (device, token, code, message) in [
                ("BL", "invalid-token", 3064, dead),
                ("JS", "invalid-token", 3064, dead),
                ("JS", &*live, 3122, key),
                ("REST", "", 3122, key),
                ("BL", "", 3121, nobody),
            ] {
                let refusal = with(app.call_with(device, Method::POST, path), token).await;
                assert_eq!(refusal.refused(code)["message"], message, "{device} {token}");
                assert_eq!(refusal.status, 400);
            }
        }
    }
}

#[tokio::test]
async fn t_01_wrong_ones_count_like_failed_logins_and_with_them() {
    for server in TestServer::in_each_profile().await {
        let (app, desk) = (&server.app, server.desk().await);
        desk.login_settings(json!({ "failedLoginsLock": 3, "enableMultipleLogins": true })).await;
        app.user("ann@example.com").await;
        let token = app.token("ann@example.com").await;
        let verify = |password: &str| {
            let call = app.server_code(Method::POST, SPELLINGS[0]).token(&token);
            call.body(json!({ "password": password })).send()
        };
        let (yes, no) = (json!({ "valid": true }), json!({ "valid": false }));
        // A right one in between ends the row.
        for password in ["wrong", "wrong", HORSE, "wrong", "wrong", HORSE] {
            assert_eq!(
                verify(password).await.ok(),
                if password == HORSE { yes.clone() } else { no.clone() }
            );
        }
        verify("wrong").await.ok();
        app.login("ann@example.com", "wrong").await.refused(3003);
        assert_eq!(verify("wrong").await.ok(), no); // the third
        verify(HORSE).await.refused(3036);
        app.login("ann@example.com", HORSE).await.refused(3036);
        assert_eq!(events(&server, "user.locked").await.len(), 1);
        // What is empty is no guess, and costs no hash.
        let before = server.server.passwords.checks();
        assert_eq!(verify("").await.ok(), no);
        assert_eq!(server.server.passwords.checks(), before);
    }
}
