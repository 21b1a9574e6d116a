//! How many connections there are, in all and from each source.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use crate::address::{self, Group};
use crate::config::Limits;
use crate::metrics::Metrics;
use crate::server::Server;

/// Counts connections.
pub(super) struct Places {
    server: Server,
    from: Mutex<HashMap<Group, usize>>,
}

/// One connection; its place is free again when this is dropped.
pub(super) struct Place {
    places: Arc<Places>,
    group: Option<Group>,
}

impl Places {
    pub fn new(server: &Server) -> Arc<Self> {
        Arc::new(Self { server: server.clone(), from: Mutex::default() })
    }

    /// A place for a connection from `peer`, unless there are too many. Behind a trusted proxy are
    /// many clients, so it has no limit of its own.
    pub fn take(self: &Arc<Self>, peer: IpAddr) -> Option<Place> {
        let Limits { connections, connections_per_source, proxies, .. } = &self.server.limits;
        let proxy = proxies.trusts(peer);
        let group = address::source(peer, &[], proxies).group();
        let mut from = self.from.lock().unwrap_or_else(PoisonError::into_inner);
        let open = &self.metrics().connections;
        if open.get() >= *connections {
            return None;
        }
        if !proxy {
            let held = from.entry(group).or_default();
            if *held >= *connections_per_source {
                return None;
            }
            *held += 1;
        }
        open.add();
        drop(from);
        Some(Place { places: Arc::clone(self), group: (!proxy).then_some(group) })
    }

    fn metrics(&self) -> &Metrics {
        &self.server.metrics
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut from = self.places.from.lock().unwrap_or_else(PoisonError::into_inner);
        self.places.metrics().connections.subtract();
        let Some(group) = self.group else { return };
        if let Some(held) = from.get_mut(&group) {
            *held -= 1;
            if *held == 0 {
                from.remove(&group);
            }
        }
    }
}
