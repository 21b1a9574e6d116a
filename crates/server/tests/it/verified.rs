//! Who is confirmed is for the server to say: no path that a user can write touches it (security
//! I-6).

use http::Method;
use serde_json::{Value, json};

use crate::harness::{Call, HORSE, TestServer, text};

/// What somebody sends who would like to be confirmed already.
fn forged() -> Value {
    json!({
        "userStatus": "ENABLED", "USERSTATUS": "ENABLED", "isEmailConfirmed": true,
        "ISEMAILCONFIRMED": true, "emailConfirmationRequired": false,
    })
}

fn with(mut body: Value, more: &Value) -> Value {
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

#[tokio::test]
async fn i_06_nobody_says_of_themselves_that_they_are_confirmed() {
    for server in TestServer::in_each_profile().await {
        let (app, desk) = (&server.app, server.desk().await);
        // As loose as it can be: what nobody knows becomes a property.
        let data = desk.about(Method::PUT, "/data/config").body(json!({ "dynamicSchema": true }));
        data.send().await.ok();
        desk.login_settings(json!({ "enableMultipleLogins": true })).await;
        app.user("eve@example.com").await; // before one had to confirm
        let eve = app.token("eve@example.com").await;
        desk.registration_settings(json!({ "emailConfirmationRequired": true })).await;
        let (guest, guests) = app.guest().await;

        let new = |email: &str| with(json!({ "email": email, "password": HORSE }), &forged());
        let converted = with(new("bob@example.com"), &json!({ "objectId": guest }));
        for (how, email, call) in [
            ("registered", "ann@example.com", app.post("/users/register", new("ann@example.com"))),
            (
                "registered beside a session",
                "cid@example.com",
                app.post("/users/register", new("cid@example.com")).token(&eve),
            ),
            (
                "registered with the server's key",
                "fay@example.com",
                app.server_code(Method::POST, "/users/register").body(new("fay@example.com")),
            ),
            (
                "a guest before",
                "bob@example.com",
                app.post("/users/register", converted).token(&guests),
            ),
        ] {
            let made = call.send().await.ok();
            let id = text(&made["objectId"]);
            is_pending(&server, how, email, &id).await;
            // Nor do they, or others, say it later.
            let put = |path: &str| app.call(Method::PUT, path);
            let more = with(forged(), &json!({ "objectId": id }));
            let doors: Vec<Call> = vec![
                put(&format!("/users/{id}")),
                put(&format!("/users/{id}")).token(&eve),
                put(&format!("/data/Users/{id}")),
                put(&format!("/data/Users/{id}")).token(&eve),
                put("/data/Users").token(&eve),
                put(&format!("/users/{id}/status")),
                put(&format!("/users/{id}/status")).token(&eve),
                put("/data/Users/upsert"),
                put("/data/bulkupsert/Users").token(&eve),
                put(&format!("/data/bulk/Users?where=objectId%3D'{id}'")).token(&eve),
                app.server_code(Method::PUT, &format!("/users/{id}")),
                app.server_code(Method::PUT, "/data/bulkupsert/Users"),
                app.server_code(Method::PUT, &format!("/data/bulk/Users?where=objectId%3D'{id}'")),
                app.server_code(Method::PUT, &format!("/data/Users/{id}")),
            ];
            for (number, call) in doors.into_iter().enumerate() {
                let many = call.url().contains("/bulkupsert/");
                let body = if many { json!([more]) } else { more.clone() };
                let _ = call.body(body).send().await; // let in or not
                is_pending(&server, &format!("{how}, door {number}"), email, &id).await;
            }
        }
        // Neither do those who come to be as objects of a table, by whatever call.
        let many = |email: &str| json!([new(email)]);
        let with_id =
            |email: &str| with(new(email), &json!({ "objectId": email.replace('@', "-") }));
        for (how, email, call) in [
            ("an object", "one@example.com", app.post("/data/Users", new("one@example.com"))),
            (
                "an object saved",
                "two@example.com",
                app.call(Method::PUT, "/data/Users").body(new("two@example.com")).token(&eve),
            ),
            (
                "an object with its id",
                "three@example.com",
                app.call(Method::PUT, "/data/Users/upsert").body(with_id("three@example.com")),
            ),
            ("in bulk", "four@example.com", app.post("/data/bulk/Users", many("four@example.com"))),
            (
                "in bulk with its id",
                "five@example.com",
                app.call(Method::PUT, "/data/bulkupsert/Users")
                    .body(json!([with_id("five@example.com")])),
            ),
        ] {
            let reply = call.send().await;
            let strict = app.get("/data/Users").send().await.status != 200;
            assert_eq!(reply.code(), if strict { 2000 } else { 0 }, "{how}: {reply:?}");
            if strict {
                app.login(email, HORSE).await.refused(3003);
                continue;
            }
            let find = format!("/user/sessions/users?identityOrUserId={email}");
            let found = desk.about(Method::GET, &find).send().await.ok();
            is_pending(&server, how, email, &text(&found[0]["objectId"])).await;
        }
        // The server's own code says it of whom it makes.
        let own = app.server_code(Method::POST, "/data/Users").body(new("six@example.com"));
        assert_eq!(own.send().await.ok()["userStatus"], "ENABLED");

        // A guest stays one, whatever it says.
        let forged_guest = app.post("/users/register/guest", forged()).send().await.ok();
        assert_eq!(forged_guest["userStatus"], "GUEST");
        let token = text(&forged_guest["user-token"]);
        let own = text(&forged_guest["objectId"]);
        assert_eq!(app.update(&own, &token, forged()).await.ok()["userStatus"], "GUEST");

        // The server's key says it, and so does a developer.
        let find = "/user/sessions/users?identityOrUserId=ann@example.com";
        let found = desk.about(Method::GET, find).send().await.ok();
        let ann = text(&found[0]["objectId"]);
        app.set_status(&ann, "ENABLED").await.ok();
        app.login("ann@example.com", HORSE).await.ok();
        let bob = desk.about(Method::PUT, &format!("/data/Users/{guest}"));
        bob.body(json!({ "userStatus": "ENABLED" })).send().await.ok();
        app.login("bob@example.com", HORSE).await.ok();

        // Not even a developer makes a property of it that users could write.
        for name in ["isEmailConfirmed", "ISEMAILCONFIRMED"] {
            let column = json!({ "name": name, "dataType": "BOOLEAN" });
            let call = desk.about(Method::POST, "/data/tables/Users/columns").body(column);
            call.send().await.refused(3038);
            let shoe = json!({ "name": "shoe", "dataType": "BOOLEAN" });
            let _ = desk.about(Method::POST, "/data/tables/Users/columns").body(shoe).send().await;
            let renamed = desk.about(Method::PUT, "/userproperties/shoe");
            renamed.body(json!({ "name": name })).send().await.refused(3038);
        }
    }
}

async fn is_pending(server: &TestServer, how: &str, email: &str, id: &str) {
    let user = server.app.server_code(Method::GET, &format!("/users/{id}")).send().await.ok();
    assert_eq!(user["userStatus"], "EMAIL_CONFIRMATION_PENDING", "{how}: {user}");
    let verdict = |it: &&String| it.eq_ignore_ascii_case("isEmailConfirmed");
    assert_eq!(user.as_object().unwrap().keys().find(verdict), None, "{how}");
    let login = server.app.login(email, HORSE).await;
    assert_eq!(login.code(), 3087, "{how}: {login:?}");
}
