//! Identities: one canonical form for uniqueness, look-up, limits and locks (security section 6).

use http::Method;
use proptest::prelude::*;
use serde_json::{Value, json};
use server::clock::Seconds;
use server::schema::identity;

use crate::harness::{HORSE, TestServer, text};

/// Spellings of one identity: the first is how it was registered.
const SPELLINGS: &[&[&str]] = &[
    &[
        "Ann@Example.com",
        "ann@example.com",
        " ANN@EXAMPLE.COM\t",
        "ａｎｎ@example.com",
        "ann@ｅxample.com",
    ],
    &[
        "bob@bücher.example",
        "bob@xn--bcher-kva.example",
        "BOB@BÜCHER.EXAMPLE",
        "bob@bu\u{308}cher.example",
    ],
    &["Ὀδυσσεύς@example.gr", "ὀδυσσεύσ@example.gr", "ὈΔΥΣΣΕΎΣ@EXAMPLE.GR"],
    &["straße@example.de", "STRASSE@example.de"],
    &["K\u{212a}@example.com", "kk@example.com"], // the sign of kelvin
    &["dag", "DAG", " dag "],                     // no address at all
    &["山田@example.jp", "山田@EXAMPLE.jp"],
];

#[tokio::test]
async fn i_01_i_02_all_spellings_of_an_identity_are_one_at_registration_login_and_lock() {
    for server in TestServer::in_each_profile().await {
        let (app, desk) = (&server.app, server.desk().await);
        desk.login_settings(json!({ "failedLoginsLock": 3, "lockoutMinutes": 1 })).await;
        for spellings in SPELLINGS {
            let first = spellings[0];
            let made = app.register(first, HORSE).await.ok();
            assert_eq!(made["email"], first.trim(), "it is shown as it was typed");
            for spelling in *spellings {
                app.register(spelling, "another password").await.refused(3033);
                let body = json!({ "email": spelling, "password": "another password" });
                let door = app.server_code(Method::POST, "/data/Users").body(body);
                door.send().await.refused(3033);
                assert_eq!(app.login(spelling, HORSE).await.ok()["objectId"], made["objectId"]);
            }
            for turn in 0..3 {
                app.login(spellings[turn % spellings.len()], "wrong").await.refused(3003);
            }
            for spelling in *spellings {
                app.login(spelling, HORSE).await.refused(3036);
            }
            server.clock.advance(Seconds(61));
            app.login(first, HORSE).await.ok();
        }
    }
}

/// What an identity is not, and an address of mail neither.
const DECEIVING: &[(&str, &str)] = &[
    ("a control character", "a\u{7}nn@example.com"),
    ("a line break", "ann\n@example.com"),
    ("delete", "ann\u{7f}@example.com"),
    ("a C1 control", "ann\u{85}x@example.com"),
    ("a zero-width space", "an\u{200b}n@example.com"),
    ("a zero-width joiner", "an\u{200d}n@example.com"),
    ("a soft hyphen", "an\u{ad}n@example.com"),
    ("right to left override", "ann\u{202e}moc.elpmaxe@x.example"),
    ("an isolate", "ann\u{2066}@example.com"),
    ("a byte order mark inside", "an\u{feff}n@example.com"),
    ("a tag", "ann\u{e0041}@example.com"),
    ("a variation selector", "ann\u{fe0f}@example.com"),
    ("private use", "ann\u{e000}@example.com"),
    ("unassigned", "ann\u{378}@example.com"),
    ("a line separator", "ann\u{2028}x@example.com"),
    ("Latin and Cyrillic", "\u{430}nn@example.com"),
    ("Latin and Greek", "ann\u{3bf}@example.com"),
    ("an empty domain label", "ann@example..com"),
];

#[tokio::test]
async fn i_03_what_cannot_be_seen_or_passes_for_another_is_refused_and_not_stripped() {
    for server in TestServer::in_each_profile().await {
        let app = &server.app;
        for (what, email) in DECEIVING {
            let refused = app.register(email, HORSE).await;
            assert_eq!(refused.code(), 8023, "{what}: {refused:?}");
            // At login it is nobody's, like any other that nobody has.
            app.login(email, HORSE).await.refused(3003);
        }
        for raw in [r#""ann\u0000@example.com""#, r#""ann\ud800@example.com""#] {
            let body = format!("{{\"email\":{raw},\"password\":\"{HORSE}\"}}");
            app.call(Method::POST, "/users/register").raw(body).send().await.refused(20004);
        }
        let count = app.server_code(Method::POST, "/data/Users/count").body(json!({}));
        assert_eq!(count.send().await.ok(), json!(0));
    }
}

#[tokio::test]
async fn i_03_an_address_that_is_not_the_identity_deceives_nobody_either() {
    let server = TestServer::compat().await;
    let (app, desk) = (&server.app, server.desk().await);
    let column = json!({ "name": "handle", "dataType": "STRING" });
    desk.about(Method::POST, "/data/tables/Users/columns").body(column).send().await.ok();
    let identity = json!({ "name": "handle", "identity": true });
    desk.about(Method::PUT, "/data/tables/Users/columns/handle").body(identity).send().await.ok();
    let register = async |handle: &str, email: &str| {
        let body = json!({ "handle": handle, "email": email, "password": HORSE });
        app.post("/users/register", body).send().await
    };
    let ann = text(&register("ann", "ann@x.de").await.ok()["objectId"]);
    for (what, email) in DECEIVING {
        assert_eq!(register("bob", email).await.code(), 8023, "{what}");
        let change = app.server_code(Method::PUT, &format!("/users/{ann}"));
        assert_eq!(change.body(json!({ "email": email })).send().await.code(), 8023, "{what}");
    }
    let email = "Ann@Exämple.com";
    let change = app.server_code(Method::PUT, &format!("/users/{ann}"));
    assert_eq!(change.body(json!({ "email": email })).send().await.ok()["email"], email);

    // Where addresses are confirmed nobody is left without one.
    desk.registration_settings(json!({ "emailConfirmationRequired": true })).await;
    for nothing in [Value::Null, json!(""), json!("ann")] {
        let change = app.server_code(Method::PUT, &format!("/users/{ann}"));
        let reply = change.body(json!({ "email": nothing })).send().await;
        assert!([3040, 3045].contains(&reply.code()), "{reply:?}");
    }
}

proptest! {
    #[test]
    fn i_01_the_canonical_form_of_a_canonical_form_is_itself(text in "\\PC{1,30}(@\\PC{1,20})?") {
        if let Ok(once) = identity::canonical(&text) {
            let twice = identity::canonical(once.as_str()).unwrap();
            prop_assert_eq!(twice.as_str(), once.as_str());
        }
    }
}
