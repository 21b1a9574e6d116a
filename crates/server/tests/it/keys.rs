//! API keys that developers add (users-api 1.4 and 6.3).

use http::Method;
use serde_json::json;

use crate::harness::{HORSE, TestServer, text};

#[tokio::test]
async fn a_key_is_added_used_renamed_given_a_new_secret_and_removed() {
    let server = TestServer::start().await;
    let (app, desk) = (&server.app, server.desk().await);
    let add = json!({ "name": "Kiosk" });
    let key = desk.about(Method::POST, "/apikey").body(add.clone()).send().await.ok();
    assert_eq!((&key["name"], &key["deviceType"]), (&json!("Kiosk"), &json!("Kiosk")));
    let (id, secret) = (text(&key["id"]), text(&key["apiKey"]));
    let root = format!("/{}/{secret}", app.id.0);
    app.outside(Method::GET, &format!("{root}/info")).send().await.ok();
    let user = json!({ "email": "ann@example.com", "password": HORSE });
    let call = app.outside(Method::POST, &format!("{root}/users/register")).body(user);
    let ann = text(&call.send().await.ok()["objectId"]);
    // It has no rights but those of a client.
    let disable = json!({ "userStatus": "DISABLED" });
    let call = app.outside(Method::PUT, &format!("{root}/users/{ann}/status")).body(disable);
    call.send().await.refused(3054);

    desk.about(Method::POST, "/apikey").body(add).send().await.refused(3038);
    let path = format!("/apikey/{id}");
    let rename = json!({ "name": "Lobby" });
    let renamed = desk.about(Method::PUT, &path).body(rename).send().await.ok();
    assert_eq!((&renamed["name"], &renamed["apiKey"]), (&json!("Lobby"), &json!(secret)));
    assert_eq!(desk.about(Method::GET, &path).send().await.ok(), renamed);
    let listed = desk.about(Method::GET, "/appsettings").send().await.ok();
    assert_eq!(listed["apiKeys"].as_array().unwrap().len(), 8);

    let fresh = desk.about(Method::POST, &format!("{path}/regenerate")).send().await.ok();
    app.outside(Method::GET, &format!("{root}/info")).send().await.refused(2002);
    let root = format!("/{}/{}", app.id.0, text(&fresh["apiKey"]));
    app.outside(Method::GET, &format!("{root}/info")).send().await.ok();

    // A domain that stands for it goes with it.
    let domain = json!({ "domain": "kiosk.example", "apiKeyId": id });
    desk.about(Method::POST, "/settings/custom-domain").body(domain).send().await.ok();
    let by_host = || app.outside(Method::GET, "/api/info").header("host", "kiosk.example").send();
    by_host().await.ok();
    desk.about(Method::DELETE, &path).send().await.ok();
    app.outside(Method::GET, &format!("{root}/info")).send().await.refused(2002);
    by_host().await.refused(2002);
    desk.about(Method::GET, &path).send().await.refused(3038);
}

#[tokio::test]
async fn the_seven_stay_and_their_names_are_theirs() {
    let server = TestServer::start().await;
    let desk = server.desk().await;
    for name in ["BL", "bl", "CodeRunner", "cloudcode", "REST", "", " ", &"x".repeat(46), "a\u{7}"]
    {
        let add = json!({ "name": name });
        desk.about(Method::POST, "/apikey").body(add).send().await.refused(3038);
    }
    desk.about(Method::POST, "/apikey").body(json!({ "name": 5 })).send().await.refused(3038);
    let settings = desk.about(Method::GET, "/appsettings").send().await.ok();
    for key in settings["apiKeys"].as_array().unwrap() {
        let path = format!("/apikey/{}", text(&key["id"]));
        desk.about(Method::DELETE, &path).send().await.refused(3038);
        desk.about(Method::PUT, &path).body(json!({ "name": "Mine" })).send().await.refused(3038);
    }
}
