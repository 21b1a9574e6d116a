//! Every feature of the server, one line each.

use crate::jobs::{Kind, Sink};
use crate::web::Route;
use crate::{console, data, health, jobs, login, users};

/// The whole API: the router, the access test and the API reference are made from it.
pub fn routes() -> Vec<Route> {
    let features = [
        login::routes(),   // log in, log out, is it alive
        users::routes(),   // register, read, status
        data::routes(),    // objects of any table
        console::routes(), // developers and their applications
        health::routes(),  // the server itself, and what an application's client asks first
    ];
    features.into_iter().flatten().collect()
}

/// Every kind of work that outlives a request.
pub fn jobs() -> Vec<Kind> {
    let features = [
        jobs::timetable(), // sweeping
        console::jobs(),   // applications that come and go
        data::jobs(),      // rows of tables that change
        users::jobs(),     // another identity
    ];
    features.into_iter().flatten().collect()
}

/// Every way out of the server; none is built yet.
pub fn sinks() -> Vec<Sink> {
    Vec::new()
}
