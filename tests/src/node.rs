//! One node in this process, with a home of its own and a file system that fails where a test says so.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use certs::{NetworkId, NodeId};
use p2p_node::config::IndexAddress;
use p2p_node::control::api::{
    Enrolled, EventsRequest, GetDone, GetRequest, IndexState, JobDone, JobRequest, Limits, Line, ListRequest,
    LoggedEvent, LoggedOut, LoginRequest, PageRequest, Password, Resource, SearchRequest, Share, ShareDone,
    ShareRequest, SignupRequest, Started, Status, SubscribeRequest, SubscriptionItem, SubscriptionRequest,
    SubscriptionsDone, TransferDetail, UnshareRequest, Unshared, UnsubscribeRequest, Unsubscribed,
    UserOnline,
};
use p2p_node::control::{ApiResult, Backend, Lines};
use p2p_node::hooks::TimeLimit;
use p2p_node::options::{
    FallbackOptions, KeepVersions, LimitChanges, LimitOptions, Role, UpdateOptions, WatchTiming,
};
use p2p_node::store::fs::{FaultyFs, OsFs};
use p2p_node::{BindError, Node, NodeOptions, StartError, WallClock};

use crate::loopback;
use crate::plug::{Plug, Side};
pub use crate::requests::{get_request, job_request, share_request, subscribe_request, unsubscribe_request};
use crate::running::Running;
use crate::wait::{PATIENCE, in_time, wait_until};

/// The password of every user in these tests.
pub fn password_of(user: &str) -> Password {
    Password(format!("the password of {user}"))
}

/// A node: what its user can do with it, as methods.
#[derive(Debug)]
pub struct TestNode {
    home: PathBuf,
    listen: SocketAddr,
    role: Role,
    limits: LimitOptions,
    watch: bool,
    keep: KeepVersions,
    updates: UpdateOptions,
    watch_timing: WatchTiming,
    fallback: FallbackOptions,
    fs: FaultyFs,
    wall: WallClock,
    plug: Plug,
    node: Option<Arc<Node>>,
}

impl TestNode {
    /// Starts one on a free port of this address.
    pub async fn start(home: &Path, ip: Ipv4Addr, role: Role) -> Self {
        Self::start_at(home, SocketAddr::new(ip.into(), 0), role).await
    }

    /// Starts one at an address.
    pub async fn start_at(home: &Path, listen: SocketAddr, role: Role) -> Self {
        // What the index does and does not do is seen best where nothing does it in its place.
        let fallback = FallbackOptions { enabled: false, peers: Vec::new() };
        Self::start_with(home, listen, role, fallback, WallClock::default()).await
    }

    /// Starts one that goes on without the index, or does not, by this clock.
    pub async fn start_with(
        home: &Path,
        listen: SocketAddr,
        role: Role,
        fallback: FallbackOptions,
        wall: WallClock,
    ) -> Self {
        std::fs::create_dir_all(home).expect("a home");
        let mut this = Self {
            home: home.to_owned(),
            listen,
            role,
            limits: LimitOptions::default(),
            watch: false,
            keep: KeepVersions::default(),
            updates: UpdateOptions::default(),
            watch_timing: WatchTiming::default(),
            fallback,
            fs: FaultyFs::new(OsFs::new()),
            wall,
            plug: Plug::default(),
            node: None,
        };
        this.start_again().await;
        this
    }

    /// Starts it again on its home and port, after [`TestNode::stop`]. The system may still be about to give the port back.
    pub async fn start_again(&mut self) {
        wait_until(PATIENCE, "the node starts", async || match self.try_start().await {
            Err(error) if is_port_taken(&error) => Err(error.to_string()),
            other => Ok(other),
        })
        .await
        .unwrap_or_else(|error| panic!("{}: {error}", self.home.display()));
    }

    /// The same, where it may fail.
    ///
    /// # Errors
    /// The node's.
    pub async fn try_start(&mut self) -> Result<(), StartError> {
        assert!(self.node.is_none(), "it runs");
        let options = NodeOptions {
            home: self.home.clone(),
            listen: Some(self.listen),
            role: self.role.clone(),
            transport: loopback::transport(self.fallback.enabled),
            limits: self.limits,
            watch: self.watch,
            keep: self.keep,
            updates: self.updates,
            watch_timing: self.watch_timing,
            hook_timeout: TimeLimit::default(),
            fallback: self.fallback.clone(),
            fs: Arc::new(self.fs.clone()),
            wall: self.wall.clone(),
            sockets: Arc::new(self.plug.clone()),
        };
        self.plug.set_side(Side::ALL);
        let node = Node::start(options).await?;
        self.listen = node.ready().address;
        self.node = Some(Arc::new(node));
        Ok(())
    }

    /// Stops it, to start on any free port: another node may take its port meanwhile.
    pub async fn stop_for_long(&mut self) {
        self.stop().await;
        self.listen.set_port(0);
    }

    /// Stops it as the daemon does.
    pub async fn stop(&mut self) {
        let node = self.node.take().expect("it runs");
        in_time("stopping", node.shut_down()).await;
    }

    /// Ends it without a word to anybody, as a power cut would: nobody hears it stop.
    pub async fn kill(&mut self) {
        self.plug.set_side(Side::NOBODY);
        self.stop().await;
    }

    /// Stops it and starts it on the same home and port.
    pub async fn restart(&mut self) {
        self.stop().await;
        self.start_again().await;
    }

    /// The node.
    pub fn node(&self) -> &Arc<Node> {
        self.node.as_ref().expect("it runs")
    }

    /// Its file system.
    pub fn fs(&self) -> &FaultyFs {
        &self.fs
    }

    /// What its datagrams go through.
    pub fn plug(&self) -> &Plug {
        &self.plug
    }

    /// Its home.
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// Its id.
    pub fn id(&self) -> NodeId {
        self.node().id()
    }

    /// Its network.
    pub fn network(&self) -> NetworkId {
        self.node().network()
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.listen
    }

    /// As an index: what its peers are started with.
    pub fn index_address(&self) -> IndexAddress {
        index_at(self.network(), self.listen)
    }

    /// Where a download goes that names no target.
    pub fn download_path(&self, owner: &str, name: &str) -> PathBuf {
        self.home.join("downloads").join(owner).join(name)
    }

    /// Waits until it stands so with the index.
    pub async fn wait_for_index(&self, wanted: IndexState) {
        let what = format!("{} is {wanted:?}", self.home.display());
        wait_until(PATIENCE, &what, async || {
            let index = self.status().await.index;
            if index.state == wanted { Ok(()) } else { Err(index) }
        })
        .await;
    }

    /// Makes an account.
    ///
    /// # Errors
    /// The node's.
    pub async fn signup(&self, user: &str) -> ApiResult<Enrolled> {
        let request = SignupRequest { user: user.parse().expect("a user name"), password: password_of(user) };
        in_time("signup", self.node().signup(request)).await
    }

    /// Enrols it for an account.
    ///
    /// # Errors
    /// The node's.
    pub async fn login(&self, user: &str) -> ApiResult<Enrolled> {
        self.login_with(user, password_of(user), false).await
    }

    /// The same, with another password, or giving up what it has of another account.
    ///
    /// # Errors
    /// The node's.
    pub async fn login_with(&self, user: &str, password: Password, forget: bool) -> ApiResult<Enrolled> {
        let request = LoginRequest { user: user.parse().expect("a user name"), password, forget };
        in_time("login", self.node().login(request)).await
    }

    /// Ends its membership.
    ///
    /// # Errors
    /// The node's.
    pub async fn logout(&self) -> ApiResult<LoggedOut> {
        in_time("logout", self.node().logout()).await
    }

    /// Shares a file under its own name.
    ///
    /// # Errors
    /// The node's.
    pub async fn share(&self, path: &Path) -> ApiResult<ShareDone> {
        self.start_share(share_request(path)).await?.end().await
    }

    /// Begins to share a file.
    ///
    /// # Errors
    /// The node's, at once.
    pub async fn start_share(&self, request: ShareRequest) -> ApiResult<Running<ShareDone>> {
        let what = format!("share of {}", request.name);
        Ok(Running::new(what, in_time("share", self.node().share(request)).await?))
    }

    /// Takes an own resource back.
    ///
    /// # Errors
    /// The node's.
    pub async fn unshare(&self, name: &str) -> ApiResult<Unshared> {
        let request = UnshareRequest { owner: None, name: name.parse().expect("a name") };
        in_time("unshare", self.node().unshare(request)).await
    }

    /// Takes somebody's resource back, or tries to.
    ///
    /// # Errors
    /// The node's.
    pub async fn unshare_of(&self, owner: &str, name: &str) -> ApiResult<Unshared> {
        let owner = Some(owner.parse().expect("a user name"));
        let request = UnshareRequest { owner, name: name.parse().expect("a name") };
        in_time("unshare", self.node().unshare(request)).await
    }

    /// Downloads to the default place.
    ///
    /// # Errors
    /// The node's.
    pub async fn get(&self, owner: &str, name: &str) -> ApiResult<GetDone> {
        self.get_with(get_request(owner, name)).await
    }

    /// Downloads as asked.
    ///
    /// # Errors
    /// The node's.
    pub async fn get_with(&self, request: GetRequest) -> ApiResult<GetDone> {
        self.start_get(request).await?.end().await
    }

    /// Begins to download.
    ///
    /// # Errors
    /// The node's, at once.
    pub async fn start_get(&self, request: GetRequest) -> ApiResult<Running<GetDone>> {
        let what = format!("get of {}/{}", request.owner, request.name);
        Ok(Running::new(what, in_time("get", self.node().get(request)).await?))
    }

    /// Begins a download that goes on by itself.
    ///
    /// # Errors
    /// The node's.
    pub async fn detach(&self, request: GetRequest) -> ApiResult<Started> {
        let what = format!("start of {}/{}", request.owner, request.name);
        Running::new(what, in_time("start", self.node().start(request)).await?).end().await
    }

    /// What is being moved, and what was done lately.
    pub async fn transfers(&self) -> Vec<TransferDetail> {
        in_time("transfers", self.node().transfers()).await.expect("transfers").items
    }

    /// All of its log of activity, the oldest first.
    pub async fn events(&self) -> Vec<LoggedEvent> {
        let mut lines = self.follow_events(EventsRequest { limit: None, since: None, follow: false }).await;
        let mut events = Vec::new();
        loop {
            match in_time("events", lines.recv()).await {
                Some(Line::Item(event)) => events.push(event),
                Some(Line::End) => return events,
                other => panic!("{other:?} after {events:?}"),
            }
        }
    }

    /// The names of all events in its log, the oldest first.
    pub async fn event_names(&self) -> Vec<&'static str> {
        self.events().await.iter().map(|event| event.activity.name()).collect()
    }

    /// Begins to read its log of activity.
    pub async fn follow_events(&self, request: EventsRequest) -> Lines<LoggedEvent> {
        in_time("events", self.node().events(request)).await.expect("begun")
    }

    /// Goes on with a download.
    ///
    /// # Errors
    /// The node's.
    pub async fn resume(&self, job: JobRequest) -> ApiResult<JobDone> {
        in_time("resume", self.node().resume(job)).await
    }

    /// Pauses a download.
    ///
    /// # Errors
    /// The node's.
    pub async fn pause(&self, owner: &str, name: &str) -> ApiResult<JobDone> {
        in_time("pause", self.node().pause(job_request(owner, name))).await
    }

    /// Drops a download.
    ///
    /// # Errors
    /// The node's.
    pub async fn cancel(&self, owner: &str, name: &str) -> ApiResult<JobDone> {
        in_time("cancel", self.node().cancel(job_request(owner, name))).await
    }

    /// What stays up to date.
    pub async fn subscriptions(&self) -> Vec<SubscriptionItem> {
        let page = self.node().subscriptions(PageRequest::default());
        in_time("subscriptions", page).await.expect("subscriptions").items
    }

    /// Keeps a resource up to date.
    ///
    /// # Errors
    /// The node's.
    pub async fn subscribe(&self, request: SubscribeRequest) -> ApiResult<SubscriptionsDone> {
        in_time("subscribe", self.node().subscribe(request)).await
    }

    /// Does so no more.
    ///
    /// # Errors
    /// The node's.
    pub async fn unsubscribe(&self, request: UnsubscribeRequest) -> ApiResult<Unsubscribed> {
        in_time("unsubscribe", self.node().unsubscribe(request)).await
    }

    /// Goes on with versions that wait for the user.
    ///
    /// # Errors
    /// The node's.
    pub async fn accept(&self, owner: &str, name: &str) -> ApiResult<SubscriptionsDone> {
        let request = SubscriptionRequest {
            owner: owner.parse().expect("a user name"),
            name: name.parse().expect("a name"),
            path: None,
        };
        in_time("accept", self.node().accept(request)).await
    }

    /// Changes limits (`upload=1MB`), and says what holds then.
    pub async fn limit(&self, changes: &[&str]) -> Limits {
        let parse = |change: &&str| change.parse::<LimitChanges>().expect("a limit");
        let changes = changes.iter().map(parse).fold(LimitChanges::default(), |all, one| all.and(&one));
        in_time("limit", self.node().limit(changes)).await.expect("changed")
    }

    /// With these limits from its next start on.
    pub fn configure_limits(&mut self, limits: LimitOptions) {
        self.limits = limits;
    }

    /// With these times for what is watched from its next start on.
    pub fn configure_watch(&mut self, timing: WatchTiming) {
        self.watch_timing = timing;
    }

    /// Which updates wait for the user, from its next start on.
    pub fn configure_updates(&mut self, updates: UpdateOptions) {
        self.updates = updates;
    }

    /// How many old versions are kept where nobody says, from its next start on.
    pub fn configure_keep(&mut self, versions: u16) {
        self.keep = i64::from(versions).try_into().expect("few");
    }

    /// Whether what is shared for the first time is watched, from its next start on.
    pub fn configure_watch_by_default(&mut self, watch: bool) {
        self.watch = watch;
    }

    /// Everything that is shared.
    ///
    /// # Errors
    /// The node's.
    pub async fn list(&self) -> ApiResult<Vec<Resource>> {
        Ok(in_time("list", self.node().list(ListRequest::default())).await?.items)
    }

    /// What matches a query, as `owner/name`.
    ///
    /// # Errors
    /// The node's.
    pub async fn search(&self, query: &str) -> ApiResult<Vec<String>> {
        let request = SearchRequest { query: query.to_owned(), page: PageRequest::default() };
        let page = in_time("search", self.node().search(request)).await?;
        Ok(page.items.iter().map(|item| format!("{}/{}", item.owner, item.name)).collect())
    }

    /// Who is online.
    ///
    /// # Errors
    /// The node's.
    pub async fn who(&self) -> ApiResult<Vec<UserOnline>> {
        Ok(in_time("who", self.node().who(PageRequest::default())).await?.users)
    }

    /// What it shares.
    ///
    /// # Errors
    /// The node's.
    pub async fn shares(&self) -> ApiResult<Vec<Share>> {
        Ok(in_time("shares", self.node().shares(PageRequest::default())).await?.items)
    }

    /// How it is.
    pub async fn status(&self) -> Status {
        in_time("status", self.node().status()).await.expect("a status")
    }

    /// Waits until the index lists a resource with so many holders online.
    pub async fn wait_for_holders(&self, owner: &str, name: &str, online: u64) {
        let what = format!("{online} holders of {owner}/{name} are online");
        wait_until(PATIENCE, &what, async || {
            let items = self.list().await.map_err(|error| error.to_string())?;
            let same = |item: &&Resource| item.owner.as_str() == owner && item.name.as_str() == name;
            let found = items.iter().find(same).map(|item| item.online);
            if found == Some(online) { Ok(()) } else { Err(format!("{found:?} online")) }
        })
        .await;
    }
}

fn is_port_taken(error: &StartError) -> bool {
    let kind = std::io::ErrorKind::AddrInUse;
    matches!(error, StartError::Bind(BindError::Socket { source, .. }) if source.kind() == kind)
}

/// An index of this network at this address.
pub fn index_at(network: NetworkId, address: SocketAddr) -> IndexAddress {
    IndexAddress { network, host: address.ip().to_string(), port: address.port() }
}
