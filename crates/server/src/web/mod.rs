//! What a handler may ask for and answer with: the only module that knows axum well.

mod answer;
mod caller;
pub mod cookies;
mod cors;
pub mod host;
mod input;
pub mod listen;
pub mod openapi;
mod outer;
mod places;
mod routes;
pub mod shape;
mod stream;

pub use answer::{Answer, Reply};
pub use axum::extract::State;
pub use caller::{Asked, Caller, Desk, Who};
pub use input::{Body, FormBody, Names, Pairs, text};
pub use outer::Outer;
pub use routes::{Access, Group, Route, Token, delete, get, post, put};
