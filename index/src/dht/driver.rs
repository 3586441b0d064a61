//! The task that owns the swarm: it does what the handle asks, one event at a time, and holds no policy but what
//! `table`, `store` and `lookup` decide.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use certs::NodeId;
use futures_util::StreamExt;
use libp2p_identity::PeerId;
use libp2p_kad::{Behaviour, Event, InboundRequest, Mode, QueryId, QueryResult, Quorum, Record};
use libp2p_swarm::{ConnectionError, Swarm, SwarmEvent};
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;

use super::address::{node_of, peer_of, to_multiaddr};
use super::handle::{Added, Command, DhtError, DhtStatus};
use super::hush::Hush;
use super::queries::{Pending, Queries};
use super::say::Say;
use super::store::{Store, millis, record_key};
use super::table::{self, Table};
use super::validate::Reject;

/// Queries of the handle that run at once; further commands wait. Each has at most four requests on the way.
const QUERIES: usize = 64;

/// How often it is looked for callers that have gone.
const TICK: Duration = Duration::from_secs(1);

/// How many ticks lie between two looks for what has ended.
const SWEEP_TICKS: u32 = 60;

/// The driver's state.
pub(super) struct Driver {
    node: NodeId,
    swarm: Swarm<Behaviour<Store>>,
    commands: mpsc::Receiver<Command>,
    queries: Queries,
    table: Table,
    say: Arc<Say>,
    hush: Hush,
    server: bool,
    answered: u64,
    longest_ttl: Duration,
}

impl Driver {
    pub(super) fn new(
        node: NodeId,
        swarm: Swarm<Behaviour<Store>>,
        commands: mpsc::Receiver<Command>,
        queries: Queries,
        (table, say, hush): (Table, Arc<Say>, Hush),
        longest_ttl: Duration,
    ) -> Self {
        let (server, answered) = (false, 0);
        Self { node, swarm, commands, queries, table, say, hush, server, answered, longest_ttl }
    }

    /// Runs until the last handle is dropped.
    pub(super) async fn run(mut self) {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut ticks = 0_u32;
        loop {
            tokio::select! {
                command = self.commands.recv(), if self.queries.running() < QUERIES => match command {
                    Some(command) => self.obey(command),
                    None => return,
                },
                event = self.swarm.select_next_some() => self.on_event(event),
                _ = tick.tick() => {
                    self.queries.end_abandoned(self.swarm.behaviour_mut());
                    ticks = (ticks + 1) % SWEEP_TICKS;
                    if ticks == 0 {
                        self.swarm.behaviour_mut().store_mut().sweep();
                        self.table.sweep(self.swarm.behaviour_mut());
                        self.part_from_strangers();
                    }
                }
            }
        }
    }

    /// Does what the handle asks. That nobody waits for an answer any more is no fault.
    fn obey(&mut self, command: Command) {
        let kad = self.swarm.behaviour_mut();
        match command {
            Command::Put { key, value, ttl, reply } => match self.put(&key, value, ttl) {
                Ok(query) => self.queries.insert(query, Pending::Put(reply)),
                Err(error) => drop(reply.send(Err(error))),
            },
            Command::Get { key, until, reply } => {
                let query = kad.get_record(record_key(&key));
                self.queries.insert(query, Pending::get(key, until, reply));
            }
            Command::Provide { key, reply } => match self.provide(&key) {
                Ok(query) => self.queries.insert(query, Pending::Provide(reply)),
                Err(error) => drop(reply.send(Err(error))),
            },
            Command::StopProviding { key } => kad.stop_providing(&record_key(&key)),
            Command::Providers { key, reply } => {
                let query = kad.get_providers(record_key(&key));
                self.queries.insert(query, Pending::providers(key, reply));
            }
            Command::AddPeer { node, addresses, reply } => {
                let _ = reply.send(self.add(node, &addresses));
            }
            Command::RemovePeer { node } => self.remove_peer(node),
            Command::Bootstrap { reply } => match self.look_around() {
                Ok(query) => self.queries.insert(query, Pending::Bootstrap(reply)),
                Err(error) => drop(reply.send(Err(error))),
            },
            Command::SetServer { server } => {
                self.server = server;
                kad.set_mode(Some(if server { Mode::Server } else { Mode::Client }));
            }
            Command::SetAddresses { addresses } => {
                let old: Vec<_> = self.swarm.external_addresses().cloned().collect();
                old.iter().for_each(|address| self.swarm.remove_external_address(address));
                for at in addresses.into_iter().take(wire::limits::ADDRESSES) {
                    self.swarm.add_external_address(to_multiaddr(at, &self.node));
                }
            }
            Command::Peers { reply } => drop(reply.send(table::peers(kad))),
            Command::Status { reply } => drop(reply.send(self.status())),
        }
    }

    fn put(&mut self, key: &[u8], value: Vec<u8>, ttl: Duration) -> Result<QueryId, DhtError> {
        let ttl = ttl.min(self.longest_ttl);
        let kad = self.swarm.behaviour_mut();
        let store = kad.store_mut();
        let clock = store.judges().clock.clone();
        store.put_own(key.to_vec(), value.clone(), clock.wall().plus(millis(ttl)))?;
        let mut record = Record::new(record_key(key), value);
        record.expires = clock.monotonic().checked_add(ttl);
        // `Quorum::One` would end the query with the first answer, before the others are counted.
        kad.put_record(record, Quorum::All).map_err(|_| DhtError::Refused(Reject::Full))
    }

    fn provide(&mut self, key: &[u8]) -> Result<QueryId, DhtError> {
        let kad = self.swarm.behaviour_mut();
        kad.store_mut().provide(key)?;
        kad.start_providing(record_key(key)).map_err(|_| DhtError::Refused(Reject::SourceQuota))
    }

    fn add(&mut self, node: NodeId, addresses: &[SocketAddr]) -> Added {
        let kad = self.swarm.behaviour_mut();
        let before = table::count(kad);
        let added = self.table.add(kad, node, addresses);
        if table::count(kad) > before {
            self.hush.entered(kad);
        }
        added
    }

    /// Refreshes the table, or its part around this node where that is all that is wanted.
    fn look_around(&mut self) -> Result<QueryId, DhtError> {
        let kad = self.swarm.behaviour_mut();
        if !self.hush.is_wanted() {
            return kad.bootstrap().map_err(|_| DhtError::NoPeers);
        }
        let any = table::count(kad) > 0;
        any.then(|| kad.get_closest_peers(peer_of(&self.node))).ok_or(DhtError::NoPeers)
    }

    /// Ends the connections of those who are members no more: they may be open for long.
    fn part_from_strangers(&mut self) {
        let connected: Vec<_> = self.swarm.connected_peers().copied().collect();
        for peer in connected.into_iter().filter(|peer| self.table.is_stranger(peer)) {
            let _ = self.swarm.disconnect_peer_id(peer);
        }
    }

    fn remove_peer(&mut self, node: NodeId) {
        let peer = peer_of(&node);
        self.table.remove(self.swarm.behaviour_mut(), &peer);
        // It fails where there is no connection.
        let _ = self.swarm.disconnect_peer_id(peer);
    }

    fn status(&mut self) -> DhtStatus {
        let connected = self.swarm.connected_peers().count();
        let kad = self.swarm.behaviour_mut();
        DhtStatus {
            server: self.server,
            peers: table::count(kad),
            connected,
            queries: kad.iter_queries().count(),
            store: kad.store_mut().status(),
            conflicts: self.queries.conflicts(),
            answered: self.answered,
            refused_peers: self.table.refused(),
            left_out: self.say.refused(),
        }
    }

    fn on_event(&mut self, event: SwarmEvent<Event>) {
        match event {
            SwarmEvent::Behaviour(event) => self.on_kad(event),
            SwarmEvent::ConnectionEstablished { peer_id, .. } => self.table.reached(&peer_id),
            SwarmEvent::OutgoingConnectionError { peer_id: Some(peer), .. } => self.failed(&peer),
            SwarmEvent::ConnectionClosed { peer_id, cause: Some(cause), .. } if is_silence(&cause) => {
                self.failed(&peer_id);
            }
            _ => {}
        }
    }

    fn failed(&mut self, peer: &PeerId) {
        let others = self.swarm.connected_peers().any(|one| one != peer);
        self.table.failed(self.swarm.behaviour_mut(), peer, others);
    }

    fn on_kad(&mut self, event: Event) {
        let kad = self.swarm.behaviour_mut();
        match event {
            Event::OutboundQueryProgressed { id, result, step, .. } => {
                let refreshes = matches!(result, QueryResult::Bootstrap(_));
                if !refreshes || !self.hush.progress(kad, &id, step.last) {
                    self.queries.progress(kad, id, result, step.last);
                }
            }
            Event::InboundRequest { request } => self.on_request(request),
            // One that was dialled and answered. Who dialled us comes by `Dht::add_peer`, which knows its addresses.
            Event::RoutablePeer { peer, address } => {
                let at = super::address::from_multiaddr(&address);
                if let (Some(node), Some((at, _))) = (node_of(&peer), at) {
                    self.add(node, &[at]);
                }
            }
            Event::RoutingUpdated { peer, is_new_peer: true, .. } => self.table.entered(kad, &peer),
            _ => {}
        }
    }

    fn on_request(&mut self, request: InboundRequest) {
        let store = self.swarm.behaviour_mut().store_mut();
        match request {
            InboundRequest::PutRecord { source, record: Some(record), .. } => {
                // What is not taken has been counted; kad has answered already, so the sender is told nothing.
                match node_of(&source) {
                    Some(node) => drop(store.offer(record, node)),
                    None => drop(store.count(Reject::UnknownNode)),
                }
            }
            InboundRequest::AddProvider { record: Some(record) } => drop(store.offer_provider(&record)),
            _ => self.answered += 1,
        }
    }
}

/// Whether a connection ended because a request on it was not answered at all.
fn is_silence(cause: &ConnectionError) -> bool {
    // libp2p wraps what the connection said.
    let ConnectionError::IO(error) = cause else { return false };
    let said = error.get_ref().and_then(|said| said.downcast_ref::<io::Error>());
    said.is_some_and(|said| said.kind() == io::ErrorKind::TimedOut)
}
