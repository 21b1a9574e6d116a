//! Routes that say who may use them.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::handler::Handler;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{MethodFilter, MethodRouter, on};
use http::Method;
use http::request::Parts;
use serde_json::Value;

use super::caller::{Asked, Caller, Desk, Who};
use super::cookies;
use super::outer::Target;
use crate::apps::{App, Lifetime};
use crate::error::{Error, Result};
use crate::live::{self, Verdict};
use crate::secret::Token as Secret;
use crate::server::Server;
use crate::store;

/// Who may call a route. There is no default: a route cannot be made without choosing.
#[derive(Clone, Copy)]
pub enum Access {
    /// Anybody: it shows nothing of an application, or proves the caller in its own way.
    Anybody,
    /// Whoever shows an API key of the application; a key identifies, it never authorises.
    AnyKey,
    /// The server-code key alone; any other is refused like this.
    ServerCode(fn() -> Error),
    /// A developer who is logged in.
    Developer,
    /// A developer who is logged in and has a part in the application that the path names.
    Member,
}

/// What a session token does on a route (users-api 2.0).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Token {
    /// Without a live one the request is refused.
    Required,
    /// Without one the caller is nobody; a dead one is refused.
    Optional,
    /// It is not looked at, so a dead one does no harm.
    Ignored,
}

/// Under which root a path stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// `/{app}/{key}` or, with a host of the application's own, `/api`.
    App,
    /// `/console`, or `/{app}/console` for one application.
    Console,
    /// The server itself.
    Server,
}

/// One entry of the API.
pub struct Route {
    /// The HTTP method.
    pub method: Method,
    /// The whole path, with `{names}`.
    pub path: String,
    /// Where it stands.
    pub group: Group,
    /// Who may call it.
    pub access: Access,
    /// What a session token does.
    pub token: Token,
    /// The operation in one word or two, for the `OpenAPI` document, metrics and logs.
    pub id: &'static str,
    /// What it does, in one sentence.
    pub summary: &'static str,
    /// The media type and the shape of the body it takes, if it takes one.
    pub takes: Option<(&'static str, Value)>,
    /// The media type and the shape of its answer, if there is more to say than "done".
    pub gives: Option<(&'static str, Value)>,
    /// What it reads of the query: names, and what they mean.
    pub query: &'static [(&'static str, &'static str)],
    /// The codes of its refusals, beside those of its access and its token.
    pub refuses: &'static [u32],
    /// Whether it changes something of the session although its method says otherwise.
    pub changes: bool,
    make: Box<dyn Fn(Gate) -> MethodRouter<Server> + Send + Sync>,
}

fn route<T: 'static>(
    (method, filter): (Method, MethodFilter),
    (id, path, summary): (&'static str, &str, &'static str),
    (access, token): (Access, Token),
    handler: impl Handler<T, Server>,
) -> Route {
    let group = match access {
        Access::AnyKey | Access::ServerCode(_) => Group::App,
        Access::Developer | Access::Member => Group::Console,
        Access::Anybody if path.starts_with("/console") => Group::Console,
        Access::Anybody => Group::Server,
    };
    let path = match (group, access) {
        (Group::App, _) => format!("/{{app}}/{{key}}{path}"),
        (_, Access::Member) => format!("/{{app}}/console{path}"),
        _ => path.to_owned(),
    };
    let make = Box::new(move |gate: Gate| {
        let handler = handler.clone();
        let guarded = move |State(server): State<Server>, request: Request| {
            let (handler, gate) = (handler.clone(), gate);
            async move {
                let (mut parts, body) = request.into_parts();
                let mut response = match gate.admit(&server, &mut parts).await {
                    Ok(()) => handler.call(Request::from_parts(parts, body), server).await,
                    Err(refusal) => refusal.into_response(),
                };
                response.extensions_mut().insert(RouteNumber(gate.number));
                response
            }
        };
        on(filter, guarded)
    });
    let (takes, gives, query, refuses) = (None, None, &[][..], &[][..]);
    let changes = false;
    Route {
        method,
        path,
        group,
        access,
        token,
        id,
        summary,
        takes,
        gives,
        query,
        refuses,
        changes,
        make,
    }
}

/// What the API reference says of a route, beside what its access implies.
impl Route {
    /// It takes JSON of this shape ([`shape`](super::shape)).
    #[must_use]
    pub fn takes(self, shape: Value) -> Self {
        self.takes_as("application/json", shape)
    }

    /// It takes a body of this media type and shape.
    #[must_use]
    pub fn takes_as(mut self, kind: &'static str, shape: Value) -> Self {
        self.takes = Some((kind, shape));
        self
    }

    /// It answers with JSON of this shape.
    #[must_use]
    pub fn gives(self, shape: Value) -> Self {
        self.gives_as("application/json", shape)
    }

    /// It answers with a body of this media type and shape.
    #[must_use]
    pub fn gives_as(mut self, kind: &'static str, shape: Value) -> Self {
        self.gives = Some((kind, shape));
        self
    }

    /// It reads these of the query.
    #[must_use]
    pub fn reads(mut self, query: &'static [(&'static str, &'static str)]) -> Self {
        self.query = query;
        self
    }

    /// It changes something, whatever its method says: a cookie alone is not enough for it.
    #[must_use]
    pub fn changes(mut self) -> Self {
        self.changes = true;
        self
    }

    /// It refuses with these codes of [`REFERENCE`](crate::error::REFERENCE).
    #[must_use]
    pub fn refuses(mut self, codes: &'static [u32]) -> Self {
        self.refuses = codes;
        self
    }
}

macro_rules! methods {
    ($($(#[$doc:meta])* $name:ident: $method:ident;)*) => {$(
        $(#[$doc])*
        pub fn $name<T: 'static>(
            what: (&'static str, &str, &'static str),
            who: (Access, Token),
            handler: impl Handler<T, Server>,
        ) -> Route {
            route((Method::$method, MethodFilter::$method), what, who, handler)
        }
    )*};
}
methods! {
    /// `GET`, and with it `HEAD`.
    get: GET;
    /// `POST`.
    post: POST;
    /// `PUT`.
    put: PUT;
    /// `DELETE`.
    delete: DELETE;
}

/// Which route answered, counted from 1; for metrics and logs.
#[derive(Clone, Copy)]
pub(super) struct RouteNumber(pub usize);

/// The router that serves `routes`, each behind its own [`Access`].
pub(super) fn serve(routes: &[Route], server: &Server) -> Router {
    let mut router = Router::new();
    for (index, route) in routes.iter().enumerate() {
        let (access, token, changes) = (route.access, route.token, route.changes);
        let gate = Gate { number: index + 1, access, token, changes };
        router = router.route(&route.path, (route.make)(gate));
    }
    let nothing = || async { Response::from(Error::no_such_path().into_response()) };
    let wrong_method = || async { Response::from(Error::no_such_method().into_response()) };
    router.fallback(nothing).method_not_allowed_fallback(wrong_method).with_state(server.clone())
}

/// What stands before a handler.
#[derive(Clone, Copy)]
struct Gate {
    number: usize,
    access: Access,
    token: Token,
    changes: bool,
}

impl Gate {
    /// Lets the request pass with its [`Caller`] or [`Desk`] inside, or refuses it: first the
    /// application and its key, then the session, then the kind of key (users-api 0.1).
    async fn admit(self, server: &Server, request: &mut Parts) -> Result<()> {
        let extensions = &request.extensions;
        let asked =
            extensions.get::<Asked>().cloned().ok_or_else(|| Error::internal("no request"))?;
        match self.access {
            Access::Anybody => {}
            Access::AnyKey | Access::ServerCode(_) => {
                let target = extensions.get::<Arc<Target>>().cloned();
                let caller = self.caller(server, request, target, asked).await?;
                if let Access::ServerCode(refusal) = self.access
                    && !caller.is_server_code()
                {
                    return Err(refusal());
                }
                request.extensions.insert(caller);
            }
            Access::Developer | Access::Member => {
                let desk = self.desk(server, request, asked).await?;
                request.extensions.insert(desk);
            }
        }
        Ok(())
    }

    async fn caller(
        self,
        server: &Server,
        request: &Parts,
        target: Option<Arc<Target>>,
        asked: Asked,
    ) -> Result<Caller> {
        let target = target.ok_or_else(Error::wrong_app)?;
        let app = Arc::clone(&target.app);
        pace(server, &target, &asked)?;
        let token = self.token(&app, request)?;
        let mut who = Who::Nobody;
        if self.token != Token::Ignored
            && let Some(token) = &token
        {
            match live::check(server, &app.realm, app.lifetime(), token).await? {
                Verdict::Live(session) => who = Who::User(session),
                Verdict::Disabled => return Err(Error::disabled()),
                Verdict::Dead => return Err(Error::dead_token(token.reveal())),
            }
        }
        if self.token == Token::Required && matches!(who, Who::Nobody) {
            return Err(Error::not_logged_in());
        }
        let may_have_cookie = cookies::is_no_foreign_page(&app, &request.headers);
        Ok(Caller { app, key: target.key.clone(), who, token, may_have_cookie, asked })
    }

    /// The session token: that of the header, and else that of the cookie, where the application has
    /// cookie sessions. What a cookie alone would change needs a page that may change it.
    fn token(self, app: &App, request: &Parts) -> Result<Option<Secret>> {
        if let Some(text) = header(request, "user-token") {
            return Ok(Some(Secret::from_client(text)));
        }
        if !app.settings.login.cookie_sessions_enabled {
            return Ok(None);
        }
        let token = cookies::token(&request.headers);
        let asks = [Method::GET, Method::HEAD].contains(&request.method) && !self.changes;
        if token.is_none() || asks || cookies::is_own_page(app, &request.headers) {
            return Ok(token);
        }
        // Where no session is needed the cookie is not looked at, and the request does without.
        if self.token == Token::Ignored { Ok(None) } else { Err(Error::cookie_alone()) }
    }

    async fn desk(self, server: &Server, request: &Parts, asked: Asked) -> Result<Desk> {
        let token = header(request, "auth-key").map(Secret::from_client);
        let token = token.ok_or_else(Error::no_console_session)?;
        let platform = &server.apps.platform;
        let verdict = live::check(server, platform, Lifetime::CONSOLE, &token).await?;
        let Verdict::Live(session) = verdict else { return Err(Error::no_console_session()) };
        let id = Arc::clone(&session.user.id);
        let named = match self.access {
            Access::Member => request.uri.path().split('/').nth(1).unwrap_or_default(),
            _ => "",
        };
        let app = if named.is_empty() { None } else { server.apps.by_id(named).await? };
        let app_id = app.as_ref().map(|it| it.id.clone());
        let found = platform.data.read(move |db| {
            let member = match &app_id {
                None => false,
                Some(app) => {
                    let developer = crate::ids::DeveloperId(Arc::clone(&id));
                    store::apps::is_member(db, app, &developer)?
                }
            };
            Ok::<_, Error>((store::developers::by_id(db, &id)?, member))
        });
        let (developer, member) = found.await?;
        let developer = developer.ok_or_else(Error::no_console_session)?;
        if !named.is_empty() && !member {
            return Err(Error::not_your_app());
        }
        Ok(Desk { developer, app, token, asked })
    }
}

/// Counts a call of the application's API, where it limits them (security section 4). Fails with 999.
fn pace(server: &Server, target: &Target, asked: &Asked) -> Result<()> {
    let (app, limits) = (&target.app, &target.app.settings.calls);
    let source = Some(asked.source.group());
    // Server code speaks for many.
    let own = limits.calls_per_minute_per_source.filter(|_| target.key.device != "BL");
    for (who, most) in [(source, own), (None, limits.calls_per_minute)] {
        let Some(most) = most.filter(|it| *it > 0) else { continue };
        let id = Arc::clone(&app.realm.data.scope().id);
        if let Some(wait) = server.brakes.call(&(id, who), most, asked.at) {
            return Err(Error::too_many_requests().again_in(wait));
        }
    }
    Ok(())
}

/// The text of a header. One that is not visible ASCII can be no token, but it is none that is
/// missing either.
fn header<'a>(request: &'a Parts, name: &str) -> Option<&'a str> {
    let value = request.headers.get(name)?;
    Some(value.to_str().unwrap_or("?")).filter(|it| !it.is_empty())
}
