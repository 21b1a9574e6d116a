//! Applications that are reached by a host of their own.

use http::Method;
use serde_json::{Value, json};
use server::settings::Profile;

use crate::harness::{Desk, TestApp, TestServer, text};
use crate::wire::{Answer, exchange};

const PATH: &str = "/settings/custom-domain";

/// Asks for `/api/info` at that host.
async fn at(server: &TestServer, host: &str) -> Answer {
    let request = format!("GET /api/info HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    exchange(server.address, request).await.remove(0)
}

/// The application that answers at that host; empty for none.
async fn app_at(server: &TestServer, host: &str) -> String {
    let answer = at(server, host).await;
    let body: Value = serde_json::from_str(&answer.body).unwrap();
    assert!(answer.status == 200 || body["code"] == 2002, "{answer:?}");
    body["appId"].as_str().unwrap_or_default().to_owned()
}

/// The id of the API key for that kind of client.
async fn key(desk: &Desk, device: &str) -> String {
    let settings = desk.about(Method::GET, "/appsettings").send().await.ok();
    let keys = settings["apiKeys"].as_array().unwrap();
    text(&keys.iter().find(|it| it["deviceType"] == device).unwrap()["id"])
}

#[tokio::test]
async fn a_domain_stands_for_an_application_however_its_name_is_written() {
    let server = TestServer::start().await;
    let (id, desk) = (&*server.app.id.0, server.desk().await);
    let key = key(&desk, "JS").await;
    for (domain, form, spellings) in [
        (
            " Shop.Example. ",
            "shop.example",
            &[
                "shop.example",
                "SHOP.example",
                "shop.example.",
                "shop.example:8443",
                "Shop.Example.:1",
            ][..],
        ),
        ("B\u{fc}cher.example", "xn--bcher-kva.example", &["xn--bcher-kva.example:80"][..]),
    ] {
        let body = json!({ "domain": domain, "apiKeyId": key });
        let made = desk.about(Method::POST, PATH).body(body.clone()).send().await.ok();
        assert_eq!((&made["domain"], &made["apiKeyId"]), (&json!(form), &json!(key)));
        for host in spellings {
            assert_eq!(app_at(&server, host).await, id, "{host}");
        }
        desk.about(Method::POST, PATH).body(body).send().await.refused(20014);
        for host in
            ["shop.example.eve.example", "xshop.example", "example", "127.0.0.1", "[::1]:80"]
        {
            assert_eq!(app_at(&server, host).await, "", "{host}");
        }
    }
    let listed = desk.about(Method::GET, PATH).send().await.ok();
    assert_eq!(listed.as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn what_is_no_domain_and_no_key_is_refused() {
    let server = TestServer::start().await;
    let desk = server.desk().await;
    let other = server.new_app("Other", Profile::Standard).await;
    let right = key(&desk, "JS").await;
    let body = json!({ "domain": "shop.example", "apiKeyId": right });
    let made = desk.about(Method::POST, PATH).body(body).send().await.ok();
    let path = format!("{PATH}/{}", text(&made["id"]));
    let foreign = {
        let url = format!("/{}/console/appsettings", other.id.0);
        let settings = server.call(Method::GET, &url).header("auth-key", &desk.key).send().await;
        text(&settings.ok()["apiKeys"][0]["id"])
    };
    let long = format!("{}.example", "a".repeat(64));
    for (method, path) in [(Method::POST, PATH), (Method::PUT, &*path)] {
        for body in [
            json!({ "domain": "shop.example:80", "apiKeyId": right }),
            json!({ "domain": "https://shop.example", "apiKeyId": right }),
            json!({ "domain": "shop.example/x", "apiKeyId": right }),
            json!({ "domain": "*.example", "apiKeyId": right }),
            json!({ "domain": "a b", "apiKeyId": right }),
            json!({ "domain": "a..b", "apiKeyId": right }),
            json!({ "domain": long, "apiKeyId": right }),
            json!({ "domain": "", "apiKeyId": right }),
            json!({ "domain": 7, "apiKeyId": right }),
            json!({ "domain": null, "apiKeyId": right }),
            json!({ "domain": "new.example", "apiKeyId": "x" }),
            json!({ "domain": "new.example", "apiKeyId": foreign }),
            json!({ "domain": "new.example", "apiKeyId": null }),
        ] {
            desk.about(method.clone(), path).body(body.clone()).send().await.refused(3038);
        }
    }
    desk.about(Method::POST, PATH)
        .body(json!({ "domain": "new.example" }))
        .send()
        .await
        .refused(3038);
    let none = format!("{PATH}/x");
    desk.about(Method::PUT, &none)
        .body(json!({ "domain": "n.example" }))
        .send()
        .await
        .refused(3038);
    desk.about(Method::DELETE, &none).send().await.refused(3038);
    let theirs = format!("/{}/console{path}", other.id.0);
    let call = server.call(Method::DELETE, &theirs).header("auth-key", &desk.key);
    call.send().await.refused(3038);
    let listed = desk.about(Method::GET, PATH).send().await.ok();
    assert_eq!(listed, json!([made]), "nothing was written");
    assert_eq!(app_at(&server, "new.example").await, "");
}

#[tokio::test]
async fn a_domain_can_be_renamed_pointed_to_another_key_and_freed() {
    let server = TestServer::start().await;
    let desk = server.desk().await;
    let first = &*server.app.id.0;
    let (js, rest) = (key(&desk, "JS").await, key(&desk, "REST").await);
    let make = |domain: &str| {
        desk.about(Method::POST, PATH).body(json!({ "domain": domain, "apiKeyId": js })).send()
    };
    let made = make("shop.example").await.ok();
    make("taken.example").await.ok();
    let path = format!("{PATH}/{}", text(&made["id"]));
    let change = |body: Value| desk.about(Method::PUT, &path).body(body).send();
    assert_eq!(app_at(&server, "shop.example").await, first, "and now it is in memory");

    let changed = change(json!({ "domain": "Store.Example" })).await.ok();
    assert_eq!(changed, json!({ "id": made["id"], "domain": "store.example", "apiKeyId": js }));
    assert_eq!(app_at(&server, "shop.example").await, "", "the old name is nobody's");
    assert_eq!(app_at(&server, "store.example").await, first);

    let changed = change(json!({ "apiKeyId": rest })).await.ok();
    assert_eq!(changed["apiKeyId"], json!(rest));
    let info: Value = serde_json::from_str(&at(&server, "store.example").await.body).unwrap();
    assert_eq!(info["apiKey"], server.app.keys["REST"], "the next request is with the new key");

    change(json!({ "domain": "taken.example" })).await.refused(20014);
    change(json!({ "domain": "store.example", "apiKeyId": js })).await.ok();
    change(json!({})).await.ok();
    assert_eq!(app_at(&server, "store.example").await, first);

    desk.about(Method::DELETE, &path).send().await.ok();
    assert_eq!(app_at(&server, "store.example").await, "");
    change(json!({ "domain": "store.example" })).await.refused(3038);

    // With the application goes its domain, and another may have it.
    let other = server.new_app("Other", Profile::Standard).await;
    make("store.example").await.ok();
    assert_eq!(app_at(&server, "store.example").await, first);
    desk.about(Method::DELETE, "/application").send().await.ok();
    assert_eq!(app_at(&server, "store.example").await, "");
    assert_eq!(app_at(&server, "taken.example").await, "");
    let root = format!("/{}/console", other.id.0);
    let call = |method, path: &str| {
        server.call(method, &format!("{root}{path}")).header("auth-key", &desk.key)
    };
    let settings = call(Method::GET, "/appsettings").send().await.ok();
    let key = &settings["apiKeys"][0]["id"];
    let body = json!({ "domain": "store.example", "apiKeyId": key });
    call(Method::POST, PATH).body(body.clone()).send().await.ok();
    assert_eq!(app_at(&server, "store.example").await, &*other.id.0);

    // With the key, too.
    let id = text(key);
    let delete = move |tx: &engine::Tx<'_>| {
        tx.exec("delete from control.api_keys where id = ?1", &[&id])?;
        Ok::<_, server::error::Error>(())
    };
    server.server.apps.platform.data.write(delete).await.unwrap();
    server.server.apps.forget_all();
    assert_eq!(app_at(&server, "store.example").await, "");
    assert_eq!(call(Method::GET, PATH).send().await.ok(), json!([]));
}

#[tokio::test]
async fn on_other_nodes_a_domain_moves_within_two_seconds() {
    let server = TestServer::start().await;
    let Some(second) = server.second_node().await else { return };
    let desk = server.desk().await;
    let body = json!({ "domain": "shop.example", "apiKeyId": key(&desk, "JS").await });
    let made = desk.about(Method::POST, PATH).body(body).send().await.ok();
    assert_eq!(app_at(&second, "shop.example").await, &*server.app.id.0);
    let path = format!("{PATH}/{}", text(&made["id"]));
    desk.about(Method::DELETE, &path).send().await.ok();
    let is_gone = async |_: &TestApp| at(&second, "shop.example").await.body.contains("2002");
    second.knows_within_two_seconds("a domain that is gone", is_gone).await;
}
