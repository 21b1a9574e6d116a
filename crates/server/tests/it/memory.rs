//! What a node keeps in memory, and when it must not believe it any more.

use std::sync::Arc;
use std::time::Duration;

use engine::{Faults, Hooks};
use http::Method;
use serde_json::json;
use server::clock::{Millis, Seconds};
use server::sessions;
use server::settings::Profile;

use crate::harness::{HORSE, Setup, TestServer, text};

#[tokio::test]
async fn a_revocation_meets_sessions_whoever_has_loaded_the_application() {
    let server = TestServer::start().await;
    server.hears().await;
    let app = &server.app;
    let ann = app.user("ann@example.com").await;
    let token = app.token("ann@example.com").await;
    // A request that began before the application was loaded anew holds what was loaded then.
    let old = server.server.apps.by_id(&app.id.0).await.unwrap().unwrap();
    server.server.apps.forget(&app.id);
    app.read(&ann, &token).await.ok();
    let author = server::console::developers::operator(&server.server);
    let change = server::users::write::Change::new(server.server.clone(), old.clone(), author);
    let id = server::ids::UserId(ann.as_str().into());
    let write = old.realm.data.write(move |tx| {
        server::users::write::set_status(tx, &change, &id, server::store::users::Status::Disabled)
    });
    write.await.unwrap();
    app.read(&ann, &token).await.refused(3090);
}

#[tokio::test]
async fn a_change_takes_effect_although_whoever_asked_for_it_has_gone() {
    let server = TestServer::start().await;
    server.hears().await;
    let (app, desk) = (&server.app, server.desk().await);
    app.get("/info").send().await.ok();
    let settings = desk.about(Method::GET, "/appsettings").send().await.ok();
    let keys = settings["apiKeys"].as_array().unwrap();
    let js = keys.iter().find(|it| it["deviceType"] == "JS").unwrap();
    // The connection is closed as soon as the request has left: nobody waits for the answer.
    let path = format!("/{}/console/apikey/{}/regenerate", app.id.0, text(&js["id"]));
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: {}\r\nauth-key: {}\r\ncontent-length: 0\r\n\r\n",
        server.address, desk.key
    );
    for patience in 0..40 {
        use tokio::io::AsyncWriteExt as _;
        let mut stream = tokio::net::TcpStream::connect(server.address).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        tokio::time::sleep(Duration::from_micros(patience * 250)).await;
        drop(stream);
    }
    let mut code = 0;
    for _ in 0..200 {
        tokio::time::sleep(Duration::from_millis(10)).await;
        code = app.get("/info").send().await.code();
        if code == 2002 {
            break;
        }
    }
    let kept = server.server.apps.platform.data.read({
        let id = app.id.clone();
        move |db| server::store::keys::of_app(db, &id)
    });
    let old = server::secret::Token::from_client(&app.keys["JS"]).digest();
    let changed = kept.await.unwrap().iter().all(|it| it.hash != old);
    assert_eq!((changed, code), (true, 2002), "the old key is worth what the database says");
}

#[tokio::test]
async fn uses_of_sessions_neither_pile_up_nor_outlive_their_application() {
    let faults = Arc::new(Faults::default());
    let hooks = Hooks { faults: Some(Arc::clone(&faults)), seen: None };
    let server = TestServer::with(Setup { hooks, ..Setup::default() }).await;
    let app = server.new_app("Second", Profile::Standard).await;
    let ann = app.user("ann@example.com").await;
    let token = app.token("ann@example.com").await;
    let live = &server.server.live;
    live.take_touches(Millis(i64::MAX)); // the Console's
    for _ in 0..10 {
        app.read(&ann, &token).await.ok();
        faults.fail_at(1);
        sessions::flush(&server.server, Millis(i64::MAX)).await;
        faults.disarm();
        assert_eq!(live.waiting_touches(), 1, "one session, one use to be written");
    }
    // Its use is waiting when the application goes.
    server.server.apps.by_id(&app.id.0).await.unwrap().unwrap();
    let author = server::console::developers::operator(&server.server);
    server::console::apps::remove(&server.server, author, &app.id).await.unwrap();
    server.server.apps.drop_place(&app.id).await.unwrap();
    for _ in 0..3 {
        sessions::flush(&server.server, Millis(i64::MAX)).await;
    }
    assert_eq!(live.waiting_touches(), 0);
}

#[tokio::test]
async fn a_node_that_hears_nothing_believes_neither_keys_nor_applications_in_memory() {
    let server = TestServer::start().await;
    let faults = Arc::new(Faults::default());
    let Some(deaf) = server.node_that_hears_nothing(&faults).await else { return };
    let desk = server.desk().await;
    deaf.app.get("/info").send().await.ok();
    desk.registration_settings(json!({ "userRegistrationEnabled": false })).await;
    deaf.app.register("ann@example.com", HORSE).await.refused(3009);
    let settings = desk.about(Method::GET, "/appsettings").send().await.ok();
    let keys = settings["apiKeys"].as_array().unwrap();
    let js = keys.iter().find(|it| it["deviceType"] == "JS").unwrap();
    desk.about(Method::POST, &format!("/apikey/{}/regenerate", text(&js["id"]))).send().await.ok();
    deaf.app.get("/info").send().await.refused(2002);
    server::start::stop(&deaf.server).await;
}

#[tokio::test]
async fn a_session_that_counts_is_a_session_that_works() {
    let server = TestServer::start().await;
    let (app, desk) = (&server.app, server.desk().await);
    desk.login_settings(json!({ "logoutLastUser": true })).await;
    let ann = app.user("ann@example.com").await;
    let token = app.token("ann@example.com").await;
    for second in [3600, 29, 2, 28, 1, 1] {
        server.clock.advance(Seconds(second));
        let works = app.is_valid(&token).await;
        let counts = app.login("ann@example.com", HORSE).await;
        if works {
            counts.refused(3002);
        } else {
            counts.ok();
            return;
        }
    }
    app.read(&ann, &token).await.refused(3064);
}

#[tokio::test]
async fn a_column_named_twice_is_shown_once() {
    let server = TestServer::compat().await;
    let app = &server.app;
    app.user("ann@example.com").await;
    let many = vec!["name"; 3000];
    app.post("/data/Users/find", json!({ "props": many })).send().await.refused(1006);
    let names = vec!["name"; 400];
    let rows = app.post("/data/Users/find", json!({ "props": names })).send().await;
    assert_eq!(rows.body.windows(6).filter(|it| it == b"\"name\"").count(), 1, "{rows:?}");
    let sorted = json!({ "sortBy": vec!["name desc"; 400] });
    app.post("/data/Users/find", sorted).send().await.ok();
}

#[tokio::test]
async fn a_property_password_of_another_table_is_a_property_like_others() {
    let server = TestServer::compat().await;
    let made = server.app.call(Method::PUT, "/data/Door").body(json!({ "password": "Swordfish" }));
    assert_eq!(made.send().await.ok()["password"], "Swordfish");
}

#[tokio::test]
async fn the_link_for_the_first_developer_is_not_spent_on_a_name_that_cannot_be() {
    let home = crate::database::Home::prepared().await;
    let server = crate::harness::build(&home, Setup::default()).await.unwrap();
    let link = server::console::setup::link(&server).await.unwrap().unwrap();
    let path = link.strip_prefix("http://usher.test").unwrap();
    let address = crate::harness::open(&server).await;
    let submit = async |name: &str, app: &str| {
        let form =
            format!("email=dag%40example.com&name={name}&password=four+words+in+a+row&app={app}");
        let call = crate::harness::Call::to(Method::POST, &format!("http://{address}{path}"));
        call.raw(form).send().await
    };
    submit("Dag", &"x".repeat(101)).await.refused(3038);
    submit("%00", "Shop").await.refused(3038);
    submit("+", "Shop").await.refused(3045);
    assert_eq!(submit("Dag", "Shop").await.status, 200);
    submit("Dag", "Shop").await.refused(20011);
    server::start::stop(&server).await;
}

#[tokio::test]
async fn a_server_whose_clock_is_wrong_takes_the_databases_before_it_looks_at_anything() {
    let server = TestServer::start().await;
    if !server.home().is_shared() {
        return;
    }
    let read = server.server.apps.platform.data.read(server::store::changes::now);
    let now = read.await.unwrap();
    let clock = server::clock::Clock::system();
    clock.correct_to(Millis(0)); // 1970
    let setup = Setup { clock: clock.clone(), ..Setup::default() };
    let second = crate::harness::build(server.home(), setup).await.unwrap();
    assert!((clock.now().0 - now.0).abs() < 60_000, "{:?} is not {now:?}", clock.now());
    server::start::stop(&second).await;
}
