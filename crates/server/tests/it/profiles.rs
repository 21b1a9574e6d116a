//! The two profiles, and what is relaxed in one of them (security section 1).

use http::Method;
use serde_json::json;
use server::config::Options;
use server::error::Error;
use server::store::Row;

use crate::harness::{HORSE, Setup, TestServer, text};

#[tokio::test]
async fn p_01_a_new_application_is_strict_however_it_is_made_unless_somebody_says_so() {
    for (switch, usual) in [(None, "standard"), (Some("compat"), "compat")] {
        let options = Options { new_app_profile: switch.map(str::to_owned), ..Options::default() };
        let server = TestServer::with(Setup { options, ..Setup::default() }).await;
        let desk = server.desk().await;
        let make = async |body: serde_json::Value| {
            desk.call(Method::POST, "/applications").body(body).send().await.ok()
        };
        assert_eq!(make(json!({ "appName": "A", "refCode": null })).await["profile"], usual);
        for profile in ["standard", "compat"] {
            let made = make(json!({ "appName": profile, "profile": profile })).await;
            assert_eq!(made["profile"], profile);
        }
        let odd = json!({ "appName": "B", "profile": "loose" });
        desk.call(Method::POST, "/applications").body(odd).send().await.refused(3038);

        // Each is in the log of events, with its profile and who made it.
        let read = server.server.apps.platform.data.read(|db| {
            let sql =
                "select change, by_kind from sys.events where kind = 'app.created' order by id";
            let read =
                |row: &Row<'_>| Ok((row.get::<String>("change")?, row.get::<String>("by_kind")?));
            Ok::<_, Error>(db.rows(sql, &[], read)?)
        });
        let events = read.await.unwrap();
        let by_developer = events.iter().filter(|it| it.1 == "developer");
        let mut profiles: Vec<String> = by_developer
            .map(|it| {
                let change: serde_json::Value = serde_json::from_str(&it.0).unwrap();
                text(&change["profile"])
            })
            .collect();
        profiles.sort();
        let mut expected = [usual, "standard", "compat"];
        expected.sort_unstable();
        assert_eq!(profiles, expected);
    }
}

#[tokio::test]
async fn p_01_the_set_up_form_makes_a_strict_application_too() {
    for (switch, usual) in [(None, "standard"), (Some("compat"), "compat")] {
        let home = crate::database::Home::prepared().await;
        let options = Options { new_app_profile: switch.map(str::to_owned), ..Options::default() };
        let setup = Setup { options, ..Setup::default() };
        let server = crate::harness::build(&home, setup).await.unwrap();
        let link = server::console::setup::link(&server).await.unwrap().unwrap();
        let path = link.strip_prefix("http://usher.test").unwrap();
        let address = crate::harness::open(&server).await;
        let form = "email=dag%40example.com&name=Dag&password=four+words+in+a+row&app=Shop";
        let call = crate::harness::Call::to(Method::POST, &format!("http://{address}{path}"));
        let reply = call.raw(form).send().await;
        assert_eq!(reply.status, 200, "{reply:?}");
        let found = server.apps.platform.data.read(|db| {
            let read = |row: &Row<'_>| row.get::<String>("profile");
            Ok::<_, Error>(db.rows("select profile from control.apps", &[], read)?)
        });
        assert_eq!(found.await.unwrap(), [usual]);
        server::start::stop(&server).await;
    }
}

#[tokio::test]
async fn p_02_compat_relaxes_the_closed_list_and_nothing_else() {
    let [strict, loose] = TestServer::in_each_profile().await;
    let mut answers = Vec::new();
    for server in [&strict, &loose] {
        let app = &server.app;
        let ann = app.user("ann@example.com").await;
        app.user("bob@example.com").await;
        let bob = app.token("bob@example.com").await;
        let new = json!({ "email": "cid@example.com", "password": HORSE, "shoe": 44 });
        let new = app.post("/users/register", new).send().await.ok();
        let six = app.register("six@example.com", "sixsix").await;
        let answer = vec![
            // C-1: who may see whom.
            app.get("/data/Users").send().await.code(),
            app.get(&format!("/data/Users/{ann}")).token(&bob).send().await.code(),
            app.call(Method::PUT, "/data/Note").body(json!({ "a": 1 })).send().await.code(),
            // C-2: the policy of passwords.
            six.code(),
            // C-3: properties that strangers invent.
            u64::from(new.get("shoe").is_some()),
            // C-4: whether an account exists.
            app.get("/users/restorepassword/nobody@example.com").send().await.code(),
            app.get("/users/restorepassword/ann@example.com").send().await.code(),
            // Not on the list, so the same in both.
            app.call(Method::PUT, &format!("/users/{ann}/status"))
                .body(json!({ "userStatus": "DISABLED" }))
                .send()
                .await
                .code(),
            app.post("/users/login", json!({ "objectId": ann })).send().await.code(),
            app.register("ann@example.com", HORSE).await.code(),
            app.register("eve@example.com", &"x".repeat(1025)).await.code(),
            app.register("a\u{202e}b@example.com", HORSE).await.code(),
            app.login("nobody@example.com", HORSE).await.code(),
        ];
        answers.push(answer);
    }
    assert_eq!(
        answers[0],
        [2000, 2000, 1011, 8023, 0, 5050, 5050, 3054, 2014, 3033, 8023, 8023, 3003]
    );
    assert_eq!(answers[1], [0, 0, 0, 0, 1, 3020, 5050, 3054, 2014, 3033, 8023, 8023, 3003]);
}
