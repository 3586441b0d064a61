//! A node as a library: start it, ask it what its user would, stop it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use certs::{IndexCertificate, NetworkId, NodeId, Signed};
use index::{IndexOptions, IndexService};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use wire::InstanceId;

use crate::activity::Activity;
use crate::clock::{Clock, WallClock};
use crate::home::file;
use crate::hooks::{Hooks, TimeLimit};
use crate::kad;
use crate::net::{BindError, Me, Net, OsSockets, Protocol, Sockets};
use crate::options::{
    DaemonOptions, FallbackOptions, KeepVersions, LimitOptions, Ready, Role, TransportOptions, UpdateOptions,
    WatchTiming,
};
use crate::peer::{
    Credentials, CredentialsError, IndexAddressSource, Parts, Shared, accept_all, kad_queue, keep_link,
    keep_renewed,
};
use crate::store::fs::{Fs, OsFs};
use crate::store::{DbError, Store};
use crate::tasks::Tasks;
use crate::watch::{Watching, keep_watched};
use crate::{fallback, ops, store};

/// How long tasks have to finish what they are at when the node stops.
const STOP_DEADLINE: Duration = Duration::from_secs(10);
/// A layout that was not asked for between two looks is given back: requests of one download are seconds apart, and a
/// million entries are read again in about two seconds.
const LAYOUTS_LOOK: Duration = Duration::from_secs(20);
/// The setting that remembers a peer's port.
const PORT_SETTING: &str = "port";

/// What a node is started with.
#[derive(Debug, Clone)]
pub struct NodeOptions {
    /// The folder of its files; it exists, and nobody else uses it.
    pub home: PathBuf,
    /// Where it listens; `None` means the default of its role.
    pub listen: Option<SocketAddr>,
    /// Index or peer.
    pub role: Role,
    /// How its connections behave.
    pub transport: TransportOptions,
    /// How much it gives and takes, until it is told otherwise.
    pub limits: LimitOptions,
    /// Which updates wait for the user.
    pub updates: UpdateOptions,
    /// Whether what is shared for the first time is watched, where its user does not say.
    pub watch: bool,
    /// How many old versions are kept of what is shared or downloaded, where its user does not say.
    pub keep: KeepVersions,
    /// When what is watched is published.
    pub watch_timing: WatchTiming,
    /// How long a program that is run after an update may take.
    pub hook_timeout: TimeLimit,
    /// What it does while the index is away.
    pub fallback: FallbackOptions,
    /// The file system on which users' files are.
    pub fs: Arc<dyn Fs>,
    /// The wall clock by which statements are dated and judged.
    pub wall: WallClock,
    /// What its datagrams go through.
    pub sockets: Arc<dyn Sockets>,
}

/// A node cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A peer needs to know its network.
    #[error("no index is configured")]
    NoIndex,
    /// A file of the home.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// The node's database.
    #[error(transparent)]
    Store(#[from] DbError),
    /// The index's database.
    #[error(transparent)]
    Index(#[from] index::OpenError),
    /// The socket.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// No randomness.
    #[error("no randomness: {0}")]
    Randomness(#[from] getrandom::Error),
}

impl From<DaemonOptions> for NodeOptions {
    fn from(options: DaemonOptions) -> Self {
        let DaemonOptions {
            home,
            listen,
            role,
            transport,
            limits,
            updates,
            watch,
            keep,
            hook_timeout,
            fallback,
        } = options;
        let (home, watch_timing) = (home.path().to_owned(), WatchTiming::default());
        let (fs, sockets) = (Arc::new(OsFs::new()), Arc::new(OsSockets));
        Self {
            home,
            listen,
            role,
            transport,
            limits,
            updates,
            watch,
            keep,
            watch_timing,
            hook_timeout,
            fallback,
            fs,
            wall: WallClock::default(),
            sockets,
        }
    }
}

/// A running node. What its user can ask of it are the methods of [`crate::control::Backend`].
#[derive(Debug)]
pub struct Node {
    shared: Arc<Shared>,
    stop: CancellationToken,
}

impl Node {
    /// Starts a node: reads its files, binds its socket, begins to connect the index. It does not wait for the index.
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn start(options: NodeOptions) -> Result<Self, StartError> {
        let NodeOptions {
            home,
            listen,
            role,
            transport,
            limits,
            updates,
            watch,
            keep,
            watch_timing,
            hook_timeout,
            fallback,
            fs,
            wall,
            sockets,
        } = options;
        let clock = Arc::new(Clock::new(wall));
        let credentials = Credentials::open(&home)?;
        let store = Store::open(&home.join(file::NODE_DATABASE), fs)?;
        store.recover(clock.now()).await?;
        let (kad_accepted, kad_queue) = fallback.enabled.then(kad_queue).unzip();
        let protocols: &[Protocol] =
            if kad_accepted.is_some() { &[Protocol::Messages, Protocol::Kad] } else { &[Protocol::Messages] };
        let bind_to = |listen| Net::bind(listen, credentials.key(), transport, protocols, &*sockets);
        let net = bind(&store, listen, &role, bind_to).await?;
        let has_run = home.join(file::INDEX_CERTIFICATE).exists();
        let (network, certificate) = network(&role, &credentials, &clock)?;
        let service = match &certificate {
            Some(certificate) => {
                Some(open_index(&home, &role, has_run, &credentials, certificate, &clock, &net)?)
            }
            None => None,
        };
        let (enrolment, seen) = credentials.kept(&network)?;
        let me = Me {
            network,
            enrolment,
            certificate: certificate.or(seen),
            instance: instance()?,
            addresses: net.addresses(),
            clock: clock.clone(),
        };
        let source = index_source(&role, &net).ok_or(StartError::NoIndex)?;
        let tasks = Tasks::new();
        let index_address = source.to_string();
        let hooks = Hooks::new(tasks.clone(), store.clone(), hook_timeout);
        let watching = Watching::new(watch, watch_timing);
        let parts = Parts {
            home,
            credentials,
            clock,
            net,
            store,
            tasks,
            service,
            me,
            index_address,
            limits,
            updates,
            keep,
            watching,
            hooks,
            kad_accepted,
            fallback,
        };
        let shared = Shared::new(parts);
        ops::load_subscriptions(&shared).await?;
        shared.open_replica().await;
        if let Some(queue) = kad_queue {
            kad::begin(&shared, queue);
        }
        shared.log(Activity::Started).await;
        ops::run_due_hooks(&shared).await;
        begin(&shared, source).await;
        Ok(Self { shared, stop: CancellationToken::new() })
    }

    /// The node's id.
    pub fn id(&self) -> NodeId {
        self.shared.node()
    }

    /// The network that it is of.
    pub fn network(&self) -> NetworkId {
        self.shared.network()
    }

    /// Where it can be reached, and as whom.
    pub fn ready(&self) -> Ready {
        let id = if self.shared.service.is_some() { self.network() } else { self.id() };
        Ready { id, address: self.shared.shown_address() }
    }

    /// Its open connections to other nodes but for those of Kademlia: each with a number of its own, and what moved on it.
    pub fn connections(&self) -> Vec<(usize, quinn::ConnectionStats)> {
        let sessions = self.shared.pool.all();
        sessions
            .iter()
            .map(|session| session.connection())
            .map(|one| (one.stable_id(), one.stats()))
            .collect()
    }

    /// Asks it to stop; whoever waits in [`Node::stop_wanted`] goes on.
    pub fn begin_stop(&self) {
        self.stop.cancel();
    }

    /// Completes once somebody has asked it to stop.
    pub async fn stop_wanted(&self) {
        self.stop.cancelled().await;
    }

    /// Stops it: takes no connections any more, tells all tasks to stop, waits for them up to 10 s, tells the far ends,
    /// closes the databases. Downloads go on at the next start.
    pub async fn shut_down(&self) {
        self.shut_down_after(std::future::ready(())).await;
    }

    /// Stops it, but once all tasks are told waits for those whom it answers: `answered` is ready when they have their
    /// answers, or have had their time.
    pub(crate) async fn shut_down_after(&self, answered: impl Future<Output = ()>) {
        let shared = &self.shared;
        // Connections close when nobody has them any more; these are to be closed with a code.
        let sessions = shared.pool.all();
        shared.say_goodbye().await;
        shared.tasks.begin_stop();
        answered.await;
        if !shared.tasks.stop(STOP_DEADLINE).await {
            warn!("some tasks did not end in time");
        }
        shared.net.close().await;
        drop(sessions);
        shared.close_replica().await;
        if let Some(service) = &shared.service {
            service.clone().shutdown().await;
        }
        shared.log(Activity::Stopped).await;
        shared.store.close().await;
        info!("stopped");
    }

    /// Runs programs after updates, each within the time limit that the node was started with.
    pub fn hooks(&self) -> &Hooks {
        &self.shared.hooks
    }

    pub(crate) const fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }
}

/// Starts the tasks.
async fn begin(shared: &Arc<Shared>, source: IndexAddressSource) {
    shared.tasks.spawn_droppable(accept_all(shared.clone()));
    shared.tasks.spawn_droppable(keep_link(shared.clone(), source));
    shared.tasks.spawn_droppable(keep_renewed(shared.clone()));
    shared.tasks.spawn_droppable(ops::keep_announced(shared.clone()));
    shared.tasks.spawn_droppable(keep_watched(shared.clone()));
    shared.tasks.spawn_droppable(collect_garbage(shared.store.clone()));
    shared.tasks.spawn_droppable(ops::keep_missed(shared.clone()));
    shared.tasks.spawn_droppable(forget_layouts(shared.store.clone()));
    shared.tasks.spawn_droppable(ops::keep_subscribed(shared.clone()));
    fallback::begin(shared);
    ops::resume_all(shared).await;
}

/// Gives back the memory of large folders that nobody asks for any more.
async fn forget_layouts(store: Store) {
    loop {
        tokio::time::sleep(LAYOUTS_LOOK).await;
        store.forget_unused_layouts();
    }
}

/// Removes from the database what the last runs left.
async fn collect_garbage(store: Store) {
    if let Err(error) = store.sweep_kept(false).await {
        warn!(%error, "copies of old versions that nothing needs stay for now");
    }
    match store.collect_garbage().await {
        Ok(collected) if collected.manifests > 0 => {
            info!(manifests = collected.manifests, pages = collected.pages, "old manifests removed");
        }
        Ok(_) => {}
        Err(error) => warn!(%error, "old manifests could not be removed"),
    }
}

/// The network's id, and at the index its certificate.
fn network(
    role: &Role,
    credentials: &Credentials,
    clock: &Clock,
) -> Result<(NetworkId, Option<Signed<IndexCertificate>>), StartError> {
    match role {
        Role::Index { .. } => {
            let certificate = credentials.index_certificate(clock.now())?;
            Ok((certificate.network, Some(certificate)))
        }
        Role::Peer { index: Some(index) } => Ok((index.network, None)),
        Role::Peer { index: None } => Err(StartError::NoIndex),
    }
}

fn open_index(
    home: &std::path::Path,
    role: &Role,
    has_run: bool,
    credentials: &Credentials,
    certificate: &Signed<IndexCertificate>,
    clock: &Arc<Clock>,
    net: &Net,
) -> Result<IndexService, StartError> {
    let clock = clock.clone();
    Ok(IndexService::open(IndexOptions {
        database: home.join(file::INDEX_DATABASE),
        key: credentials.key().clone(),
        certificate: certificate.clone(),
        signup_open: matches!(role, Role::Index { signup_open: true }),
        max_guests: IndexOptions::MAX_GUESTS,
        has_run,
        clock: Arc::new(move || clock.now()),
        dial_back: Arc::new(net.clone()),
    })?)
}

/// Binds the socket. A peer takes the port of last time, or, where that is taken, another.
async fn bind(
    store: &store::Store,
    listen: Option<SocketAddr>,
    role: &Role,
    bind_to: impl Fn(SocketAddr) -> Result<Net, BindError>,
) -> Result<Net, StartError> {
    let listen = match (listen, role) {
        (Some(listen), _) => return Ok(bind_to(listen)?),
        (None, Role::Index { .. }) => return Ok(bind_to(DaemonOptions::INDEX_LISTEN)?),
        (None, Role::Peer { .. }) => {
            SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), remembered_port(store).await?)
        }
    };
    let net = match bind_to(listen) {
        Err(error) if listen.port() != 0 => {
            warn!(%error, "the port of last time is taken; using another");
            bind_to(SocketAddr::new(listen.ip(), 0))?
        }
        other => other?,
    };
    if let Ok(bound) = net.bound() {
        store.set_setting(PORT_SETTING, bound.port().to_be_bytes().to_vec()).await?;
    }
    Ok(net)
}

async fn remembered_port(store: &store::Store) -> Result<u16, StartError> {
    let stored = store.setting(PORT_SETTING).await?;
    Ok(stored.and_then(|bytes| bytes.as_ref().try_into().ok()).map_or(0, u16::from_be_bytes))
}

/// Where the index is: at the index, this node itself.
fn index_source(role: &Role, net: &Net) -> Option<IndexAddressSource> {
    match role {
        Role::Index { .. } => {
            let bound = net.bound().ok()?;
            let ip = match bound.ip() {
                IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
                IpAddr::V6(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
                ip => ip,
            };
            Some(IndexAddressSource::Own(SocketAddr::new(ip, bound.port())))
        }
        Role::Peer { index } => {
            index.as_ref().map(|index| IndexAddressSource::Host(index.host.clone(), index.port))
        }
    }
}

fn instance() -> Result<InstanceId, getrandom::Error> {
    let mut bytes = [0; InstanceId::LENGTH];
    getrandom::fill(&mut bytes)?;
    Ok(InstanceId::from_bytes(bytes))
}
