//! This node's copy of what all members share, opened as soon as the network's index is known by its certificate.

use std::path::Path;
use std::sync::Arc;

use index::{OpenError, Replica, ReplicaLimits, ReplicaOptions};
use tracing::warn;

use crate::peer::Shared;

/// The copy's file in the home. The index's copy is its own registry.
const FILE: &str = "replica.db";

impl Shared {
    /// The copy; `None` where there is none: the fallback is off, or nothing of the index is known yet.
    pub(crate) fn replica(&self) -> Option<Replica> {
        self.fallback.replica.read().expect("no panic while it is held").clone()
    }

    /// Opens the copy, if it is wanted, can be, and is not open yet. Without it the node goes on: it then needs the index.
    pub(crate) async fn open_replica(&self) {
        if !self.fallback.options.enabled || self.replica().is_some() {
            return;
        }
        let replica = match &self.service {
            Some(service) => service.replica(),
            None => match self.open_own_replica().await {
                Some(replica) => replica,
                None => return,
            },
        };
        *self.fallback.replica.write().expect("no panic while it is held") = Some(replica);
        self.fallback.enrolled();
    }

    async fn open_own_replica(&self) -> Option<Replica> {
        let me = self.me();
        let (clock, database) = (self.clock.clone(), self.home.join(FILE));
        let options = ReplicaOptions {
            database: database.clone(),
            network: me.network,
            node: self.node(),
            certificate: me.certificate?,
            clock: Arc::new(move || clock.now()),
            limits: ReplicaLimits::default(),
        };
        let opened = tokio::task::spawn_blocking(move || Replica::open(options)).await.ok()?;
        opened.inspect_err(|error| complain(&database, error)).ok()
    }

    /// Closes it, as the node stops.
    pub(crate) async fn close_replica(&self) {
        let replica = self.fallback.replica.write().expect("no panic while it is held").take();
        if let (Some(replica), None) = (replica, &self.service) {
            replica.close().await;
        }
    }
}

fn complain(database: &Path, error: &OpenError) {
    warn!(
        %error,
        file = %database.display(),
        "the copy of what others share cannot be opened, and this node needs the index; \
        where the file is damaged, remove it: it is made anew from what other members have"
    );
}
