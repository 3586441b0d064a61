//! What the daemon does for the control API.

use std::future::Future;

use tokio::sync::mpsc;

use super::api::{
    Enrolled, Event, EventsRequest, GcDone, GcRequest, GetDone, GetRequest, JobDone, JobLimit,
    JobLimitRequest, JobRequest, JobsDone, Limits, Line, ListRequest, LoggedEvent, LoggedOut, LoginRequest,
    PageRequest, PasswdDone, PasswdRequest, RecoveryStatus, ResourcePage, SearchRequest, ShareDone,
    ShareRequest, SharesPage, SignupRequest, Started, Status, SubscribeRequest, SubscriptionRequest,
    SubscriptionsDone, SubscriptionsPage, Transfers, UnshareRequest, Unshared, UnsubscribeRequest,
    Unsubscribed, VersionsPage, VersionsRequest, WhoPage,
};
use super::error::ApiResult;
use crate::options::LimitChanges;

/// The events of one long operation, in order: any number of `Progress`, then exactly one `Result` or `Error`.
pub type Events<T> = mpsc::Receiver<Event<T>>;

/// The lines of a list that comes item by item: any number of `Item`, then exactly one `End` or `Error`.
pub type Lines<T> = mpsc::Receiver<Line<T>>;

/// The capacity that a channel of [`Events`] should have: a reader that is behind loses nothing by skipping progress
/// (`try_send`), so that a few suffice. The last event is sent with `send().await`.
pub const EVENTS_QUEUED: usize = 16;

/// Every operation of the daemon, as the control server calls it.
///
/// Operations that ask the index wait for it for at most 5 s, then answer `unavailable`; whoever has no account gets
/// `not-logged-in`. The future of an operation is dropped where the client goes away: it must leave nothing half done.
pub trait Backend: Send + Sync + 'static {
    /// Who and how this node is.
    fn status(&self) -> impl Future<Output = ApiResult<Status>> + Send;

    /// Begins to stop the daemon and returns; the answer is still sent. The client waits for the home's lock.
    fn stop(&self) -> impl Future<Output = ApiResult<()>> + Send;

    /// Makes an account at the index and enrols this node for it.
    fn signup(&self, request: SignupRequest) -> impl Future<Output = ApiResult<Enrolled>> + Send;

    /// Enrols this node for an account that exists.
    fn login(&self, request: LoginRequest) -> impl Future<Output = ApiResult<Enrolled>> + Send;

    /// Ends this node's membership; files, shares and jobs stay, paused.
    fn logout(&self) -> impl Future<Output = ApiResult<LoggedOut>> + Send;

    /// At an index: what came back after it lost its database. `not-the-index` elsewhere.
    fn recovery(&self) -> impl Future<Output = ApiResult<RecoveryStatus>> + Send;

    /// At an index: ends the recovery, and says how it stands then. `not-the-index` elsewhere.
    fn finish_recovery(&self) -> impl Future<Output = ApiResult<RecoveryStatus>> + Send;

    /// At an index: gives an account another password. `not-the-index` elsewhere, `not-found` where there is none.
    fn passwd(&self, request: PasswdRequest) -> impl Future<Output = ApiResult<PasswdDone>> + Send;

    /// One page of the users and nodes that are online.
    fn who(&self, request: PageRequest) -> impl Future<Output = ApiResult<WhoPage>> + Send;

    /// Imports a file and registers it. Dropping the receiver before the registration cancels the import, and nothing
    /// is registered; see [`mpsc::Sender::closed`].
    fn share(&self, request: ShareRequest) -> impl Future<Output = ApiResult<Events<ShareDone>>> + Send;

    /// One page of what this node shares, in name order.
    fn shares(&self, request: PageRequest) -> impl Future<Output = ApiResult<SharesPage>> + Send;

    /// Takes a resource out of the registry.
    fn unshare(&self, request: UnshareRequest) -> impl Future<Output = ApiResult<Unshared>> + Send;

    /// One page of everything that is shared in the network.
    fn list(&self, request: ListRequest) -> impl Future<Output = ApiResult<ResourcePage>> + Send;

    /// One page of what matches a query; an empty one says that nothing does.
    fn search(&self, request: SearchRequest) -> impl Future<Output = ApiResult<ResourcePage>> + Send;

    /// One page of the versions of a resource. `not-found` where there is no such resource.
    fn versions(&self, request: VersionsRequest) -> impl Future<Output = ApiResult<VersionsPage>> + Send;

    /// Starts a download, resumes a paused one, or attaches to a running one. The job is durable once this returned:
    /// dropping the receiver leaves it running.
    fn get(&self, request: GetRequest) -> impl Future<Output = ApiResult<Events<GetDone>>> + Send;

    /// The same as [`Backend::get`], up to where the download runs: it goes on by itself, over restarts too. Dropping the
    /// receiver before the result begins none.
    fn start(&self, request: GetRequest) -> impl Future<Output = ApiResult<Events<Started>>> + Send;

    /// The log of activity, the oldest first. With `follow` it ends with `shutting-down` where the daemon stops. A reader that is
    /// slow loses nothing that is still in the log.
    fn events(&self, request: EventsRequest) -> impl Future<Output = ApiResult<Lines<LoggedEvent>>> + Send;

    /// Removes what nothing needs: copies of old versions that are too many, manifests.
    fn gc(&self, request: GcRequest) -> impl Future<Output = ApiResult<GcDone>> + Send;

    /// What is being moved, either way.
    fn transfers(&self) -> impl Future<Output = ApiResult<Transfers>> + Send;

    /// Pauses a download; whoever is attached to it gets the error `paused`. It answers once that is durable, with how
    /// the job stands: one that failed stays failed. `not-found` where there is none, or where it just ended.
    fn pause(&self, request: JobRequest) -> impl Future<Output = ApiResult<JobDone>> + Send;

    /// Pauses all downloads that run.
    fn pause_all(&self) -> impl Future<Output = ApiResult<JobsDone>> + Send;

    /// Goes on with a paused or failed download; it waits where no holder is there. It answers once that is durable.
    /// `not-found` where there is none.
    fn resume(&self, request: JobRequest) -> impl Future<Output = ApiResult<JobDone>> + Send;

    /// Goes on with all downloads that are paused; not with those that failed.
    fn resume_all(&self) -> impl Future<Output = ApiResult<JobsDone>> + Send;

    /// Keeps a resource up to date: what is not here yet comes in the background. It answers once that is durable.
    fn subscribe(
        &self,
        request: SubscribeRequest,
    ) -> impl Future<Output = ApiResult<SubscriptionsDone>> + Send;

    /// Keeps a resource up to date no more. `not-found` where there is no subscription.
    fn unsubscribe(
        &self,
        request: UnsubscribeRequest,
    ) -> impl Future<Output = ApiResult<Unsubscribed>> + Send;

    /// One page of what stays up to date, in the order in which that began.
    fn subscriptions(
        &self,
        request: PageRequest,
    ) -> impl Future<Output = ApiResult<SubscriptionsPage>> + Send;

    /// Goes on with versions that wait for the user. `not-found` where none does.
    fn accept(
        &self,
        request: SubscriptionRequest,
    ) -> impl Future<Output = ApiResult<SubscriptionsDone>> + Send;

    /// Changes the limit of one download, running, waiting, paused or failed, and says what holds then; without a change,
    /// what holds now. It counts at once, and is durable before the answer. `not-found` where there is none.
    fn limit_transfer(&self, request: JobLimitRequest) -> impl Future<Output = ApiResult<JobLimit>> + Send;

    /// Changes limits, until the daemon stops, and says what holds then; without a change, what holds now.
    fn limit(&self, changes: LimitChanges) -> impl Future<Output = ApiResult<Limits>> + Send;

    /// Drops a download, running, waiting or paused, and what was received of it. `not-found` where there is none.
    fn cancel(&self, request: JobRequest) -> impl Future<Output = ApiResult<JobDone>> + Send;
}
