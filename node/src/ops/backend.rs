//! The operations as the control API calls them.

use certs::Enrolment;

use crate::control::api::{
    Enrolled, EventsRequest, GcDone, GcRequest, GetDone, GetRequest, JobDone, JobLimit, JobLimitRequest,
    JobRequest, JobsDone, Limits, ListRequest, LoggedEvent, LoggedOut, LoginRequest, PageRequest, PasswdDone,
    PasswdRequest, RecoveryStatus, ResourcePage, SearchRequest, ShareDone, ShareRequest, SharesPage,
    SignupRequest, Started, Status, SubscribeRequest, SubscriptionRequest, SubscriptionsDone,
    SubscriptionsPage, Transfers, UnshareRequest, Unshared, UnsubscribeRequest, Unsubscribed, VersionsPage,
    VersionsRequest, WhoPage,
};
use crate::control::{ApiError, ApiResult, Backend, Events, Lines, LocalCode};
use crate::node::Node;
use crate::options::LimitChanges;
use crate::peer::{EnrolKind, Shared};

impl Backend for Node {
    async fn status(&self) -> ApiResult<Status> {
        self.shared().status().await
    }

    async fn stop(&self) -> ApiResult<()> {
        self.begin_stop();
        Ok(())
    }

    async fn signup(&self, request: SignupRequest) -> ApiResult<Enrolled> {
        let SignupRequest { user, password } = request;
        let enrolment = self.shared().enrol(EnrolKind::Signup, user, password.0, false).await?;
        Ok(enrolled(&enrolment))
    }

    async fn login(&self, request: LoginRequest) -> ApiResult<Enrolled> {
        let LoginRequest { user, password, forget } = request;
        let enrolment = self.shared().enrol(EnrolKind::Login, user, password.0, forget).await?;
        Ok(enrolled(&enrolment))
    }

    async fn logout(&self) -> ApiResult<LoggedOut> {
        self.shared().need_login()?;
        Ok(LoggedOut { user: self.shared().log_out().await? })
    }

    async fn recovery(&self) -> ApiResult<RecoveryStatus> {
        self.shared().recovery().await
    }

    async fn finish_recovery(&self) -> ApiResult<RecoveryStatus> {
        self.shared().finish_recovery().await
    }

    async fn passwd(&self, request: PasswdRequest) -> ApiResult<PasswdDone> {
        self.shared().passwd(request).await
    }

    async fn who(&self, request: PageRequest) -> ApiResult<WhoPage> {
        self.shared().who(request).await
    }

    async fn share(&self, request: ShareRequest) -> ApiResult<Events<ShareDone>> {
        self.shared().share(request).await
    }

    async fn shares(&self, request: PageRequest) -> ApiResult<SharesPage> {
        self.shared().shares(request).await
    }

    async fn unshare(&self, request: UnshareRequest) -> ApiResult<Unshared> {
        self.shared().unshare(request).await
    }

    async fn list(&self, request: ListRequest) -> ApiResult<ResourcePage> {
        self.shared().list(request).await
    }

    async fn search(&self, request: SearchRequest) -> ApiResult<ResourcePage> {
        self.shared().search(request).await
    }

    async fn versions(&self, request: VersionsRequest) -> ApiResult<VersionsPage> {
        self.shared().versions(request).await
    }

    async fn get(&self, request: GetRequest) -> ApiResult<Events<GetDone>> {
        self.shared().get(request).await
    }

    async fn start(&self, request: GetRequest) -> ApiResult<Events<Started>> {
        self.shared().start_get(request)
    }

    async fn events(&self, request: EventsRequest) -> ApiResult<Lines<LoggedEvent>> {
        Ok(self.shared().events(request))
    }

    async fn gc(&self, request: GcRequest) -> ApiResult<GcDone> {
        self.shared().gc(request).await
    }

    async fn transfers(&self) -> ApiResult<Transfers> {
        self.shared().transfers().await
    }

    async fn pause_all(&self) -> ApiResult<JobsDone> {
        self.shared().pause_running().await
    }

    async fn resume(&self, request: JobRequest) -> ApiResult<JobDone> {
        self.shared().resume(request).await
    }

    async fn resume_all(&self) -> ApiResult<JobsDone> {
        self.shared().resume_paused().await
    }

    async fn pause(&self, request: JobRequest) -> ApiResult<JobDone> {
        self.shared().pause(request).await
    }

    async fn subscribe(&self, request: SubscribeRequest) -> ApiResult<SubscriptionsDone> {
        self.shared().subscribe(request).await
    }

    async fn unsubscribe(&self, request: UnsubscribeRequest) -> ApiResult<Unsubscribed> {
        self.shared().unsubscribe(request).await
    }

    async fn subscriptions(&self, request: PageRequest) -> ApiResult<SubscriptionsPage> {
        self.shared().list_subscriptions(request).await
    }

    async fn accept(&self, request: SubscriptionRequest) -> ApiResult<SubscriptionsDone> {
        self.shared().accept(request).await
    }

    async fn limit(&self, changes: LimitChanges) -> ApiResult<Limits> {
        Ok(self.shared().limit(&changes))
    }

    async fn limit_transfer(&self, request: JobLimitRequest) -> ApiResult<JobLimit> {
        self.shared().limit_job(request).await
    }

    async fn cancel(&self, request: JobRequest) -> ApiResult<JobDone> {
        self.shared().cancel(request).await
    }
}

impl Shared {
    /// The membership, for what only members can do.
    pub(super) fn need_login(&self) -> ApiResult<certs::Signed<certs::Membership>> {
        self.membership().ok_or_else(|| ApiError::new(LocalCode::NotLoggedIn, "this node is not logged in"))
    }
}

fn enrolled(enrolment: &Enrolment) -> Enrolled {
    let membership = &enrolment.membership;
    Enrolled { user: membership.user.clone(), node: membership.node, network: membership.network }
}
