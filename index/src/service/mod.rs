//! The index at work: what it knows, and which file answers what.

mod admin;
mod admission;
mod deregister;
mod events;
mod follow;
mod hello;
mod list;
mod locate;
mod login;
mod logout;
mod members;
mod register;
mod renew;
mod search;
mod signup;
mod throttle;
mod who;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use certs::{Enrolment, IndexCertificate, Membership, SecretKey, Signed, UnixMillis, UserName};
use serde::Serialize;
use serde_bytes::ByteBuf;
use tokio::sync::Semaphore;
use wire::message::{Empty, Enrolled, Following, Located, Page, Registered, Request, WhoPage};
use wire::{ErrorBody, ErrorCode};

use self::admission::Admission;
pub use self::events::EventsEnd;
pub use self::hello::Greeting;
use self::members::Members;
use self::throttle::Throttle;
use crate::away::Away;
use crate::background::Background;
use crate::followers::Followers;
use crate::passwords::Passwords;
use crate::presence::{DialBack, DialBacks, Presence};
use crate::probe::Probes;
use crate::recovery;
use crate::registry::{Admitted, OpenError, Registry, load_all, prepare_recovery};
use crate::replica::{Hears, Of, Replica, ReplicaLimits};
use crate::session::{IndexSession, Member};

/// What an index is opened with.
pub struct IndexOptions {
    /// The database's file; made if there is none.
    pub database: PathBuf,
    /// The key of the index node.
    pub key: SecretKey,
    /// The root's word that this node is the index.
    pub certificate: Signed<IndexCertificate>,
    /// Whether new accounts may be made.
    pub signup_open: bool,
    /// How many nodes without a membership may be connected; [`IndexOptions::MAX_GUESTS`] unless there is a reason.
    pub max_guests: usize,
    /// Whether this index has run before. If its database is gone then, no accounts are made, whatever `signup_open` says,
    /// until the operator ends the recovery: [`IndexService::finish_recovery`].
    pub has_run: bool,
    /// The wall clock.
    pub clock: Arc<dyn Fn() -> UnixMillis + Send + Sync>,
    /// How a node is dialled back.
    pub dial_back: Arc<dyn DialBack>,
}

impl IndexOptions {
    /// A room full of people who are about to sign up, some times over; what strangers can park here is then 1,024
    /// connections of some 100 KiB each.
    pub const MAX_GUESTS: usize = 1024;
}

/// An index. Cloning is cheap, and gives the same one.
#[derive(Clone)]
pub struct IndexService {
    inner: Arc<Inner>,
}

struct Inner {
    key: SecretKey,
    certificate: Signed<IndexCertificate>,
    signup_open: bool,
    database: PathBuf,
    /// The database was lost: names may be somebody's who is not back yet.
    recovering: AtomicBool,
    away: Away,
    clock: Arc<dyn Fn() -> UnixMillis + Send + Sync>,
    registry: Arc<Registry>,
    replica: Replica,
    members: Members,
    presence: Arc<Presence>,
    followers: Arc<Followers>,
    dial_backs: DialBacks,
    probes: Probes,
    passwords: Passwords,
    throttle: Throttle,
    admission: Admission,
    /// Batches of signatures that are checked at once.
    verifying: Semaphore,
    sessions: AtomicU64,
    background: Background,
}

/// The result of a request: its A.
#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
pub enum IndexAnswer {
    /// Of `ping`, `logout` and `unfollow`.
    Empty(Empty),
    /// Of `signup`, `login` and `renew`.
    Enrolled(Enrolled),
    /// Of `who`.
    Who(WhoPage),
    /// Of `follow`.
    Following(Following),
    /// Of R and D.
    Registered(Registered),
    /// Of P.
    Located(Box<Located>),
    /// Of L and S.
    Page(Page),
}

impl IndexService {
    /// Opens an index, inside a runtime. Blocks on the disk.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(options: IndexOptions) -> Result<Self, OpenError> {
        if options.certificate.node != options.key.public() {
            return Err(OpenError::OtherKey);
        }
        let recovering = recovery::is_recovering(&options.database, options.has_run)?;
        let followers = Arc::new(Followers::new());
        let hears = Hears::new();
        let tell = hears.tell(Some(followers.start().map_err(OpenError::Thread)?));
        let away = prepare_recovery(&options.database, recovering, (options.clock)())?;
        let registry = Arc::new(Registry::open(&options.database, options.certificate.bytes(), tell)?);
        let presence = Arc::new(Presence::new(options.max_guests));
        let replica = replica(&options, registry.clone(), &presence, hears)?;
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let inner = Inner {
            key: options.key,
            certificate: options.certificate,
            signup_open: options.signup_open,
            database: options.database,
            recovering: AtomicBool::new(recovering),
            away,
            clock: options.clock,
            registry,
            replica,
            members: Members::new(),
            presence,
            followers,
            dial_backs: DialBacks::new(options.dial_back),
            probes: Probes::default(),
            passwords: Passwords::new(),
            throttle: Throttle::new(),
            admission: Admission::new(),
            verifying: Semaphore::new(cores),
            sessions: AtomicU64::new(1),
            background: Background::default(),
        };
        let inner = Arc::new(inner);
        inner.background.spawn(members::keep_members(Arc::downgrade(&inner)));
        Ok(Self { inner })
    }

    /// Answers a request of a connection whose `hello` was answered. `hello`, G, and a P with a grant or a probe are not
    /// the index's, and are for the caller to answer first; `events` is for [`IndexService::events`].
    ///
    /// # Errors
    /// The E to answer.
    ///
    /// # Cancel safety
    /// A change that has begun is finished all the same.
    pub async fn answer(&self, session: &IndexSession, request: Request) -> Result<IndexAnswer, ErrorBody> {
        let member = || self.member(session);
        Ok(match request {
            Request::Ping(_) => IndexAnswer::Empty(Empty {}),
            Request::Signup(body) => IndexAnswer::Enrolled(self.signup(session, body).await?),
            Request::Login(body) => IndexAnswer::Enrolled(self.login(session, body).await?),
            Request::Logout(_) => IndexAnswer::Empty(self.logout(session, &member()?).await?),
            Request::Renew(_) => IndexAnswer::Enrolled(self.renew(session, &member()?).await?),
            Request::Who(body) => IndexAnswer::Who(self.who(session, &member()?, &body)?),
            Request::Follow(body) => {
                member()?;
                IndexAnswer::Following(self.follow(session, body).await?)
            }
            Request::Unfollow(body) => {
                member()?;
                IndexAnswer::Empty(self.unfollow(session, &body))
            }
            Request::R(body) => IndexAnswer::Registered(self.register(session, &member()?, body).await?),
            Request::D(body) => IndexAnswer::Registered(self.deregister(session, &member()?, body).await?),
            Request::L(body) => IndexAnswer::Page(self.list(&member()?, body).await?),
            Request::S(body) => IndexAnswer::Page(self.search(&member()?, body).await?),
            Request::P(body) => {
                let member = member()?;
                let Some(resource) = body.resource else { return Err(not_for_the_index()) };
                IndexAnswer::Located(Box::new(self.locate(session, &member, resource).await?))
            }
            Request::Hello(_) | Request::G(_) | Request::Statements(_) | Request::Events(_) => {
                return Err(not_for_the_index());
            }
        })
    }

    /// Whether a session is a member's now, for what the caller answers itself.
    ///
    /// # Errors
    /// `not-member`.
    pub fn check_member(&self, session: &IndexSession) -> Result<(), ErrorBody> {
        self.member(session).map(drop)
    }

    /// The connection of a session is gone: its node is offline, unless it has a newer one.
    pub fn closed(&self, session: &IndexSession) {
        self.inner.presence.leave(session);
    }

    /// The registry as other members see it: what they know without the index, and bring back to it.
    pub fn replica(&self) -> Replica {
        self.inner.replica.clone()
    }

    /// Ends the `events` streams, stops the background work, finishes the writes that wait, and closes the database.
    /// Requests that come later are answered `shutting-down`.
    pub async fn shutdown(self) {
        self.inner.followers.stop();
        self.inner.background.stop().await;
        self.inner.registry.close().await;
    }

    fn now(&self) -> UnixMillis {
        (self.inner.clock)()
    }

    /// Whose node it is, by a membership that has not ended meanwhile.
    fn member(&self, session: &IndexSession) -> Result<Member, ErrorBody> {
        match session.member() {
            Some(member) if self.now() <= member.not_after => Ok(member),
            Some(_) => Err(ErrorBody::new(ErrorCode::NotMember, "the membership has ended; log in again")),
            None => Err(ErrorBody::new(ErrorCode::NotMember, "this node is not logged in")),
        }
    }

    /// Issues a membership and makes the session its member's.
    fn issue(&self, session: &IndexSession, user: &UserName, admitted: &Admitted, serial: u64) -> Enrolled {
        let inner = &self.inner;
        let now = self.now();
        let membership = Membership::issue(
            &inner.key,
            &inner.certificate,
            admitted.id,
            user.clone(),
            session.node,
            serial,
            now,
        );
        self.make_member(session, member_of(&membership, admitted));
        let enrolment = Enrolment { certificate: inner.certificate.clone(), membership };
        Enrolled { enrolment: ByteBuf::from(enrolment.to_bytes()) }
    }

    /// Makes the session a member's. Only members' addresses are handed on, so only theirs are tried.
    fn make_member(&self, session: &IndexSession, member: Member) {
        let inner = &self.inner;
        let (row, new) = (member.node_row, session.member().is_none());
        inner.presence.set_member(session, Some(member));
        if new && let Some(entered) = inner.presence.member_session(row) {
            inner.dial_backs.verify(&entered, &inner.background);
        }
    }

    fn next_session(&self) -> u64 {
        self.inner.sessions.fetch_add(1, Ordering::Relaxed)
    }
}

/// Over the same registry; what a node that is connected says here of what it holds is newer than its catalogue.
fn replica(
    options: &IndexOptions,
    registry: Arc<Registry>,
    presence: &Arc<Presence>,
    hears: Hears,
) -> Result<Replica, OpenError> {
    let presence = presence.clone();
    let of = Of {
        network: options.certificate.network,
        node: options.key.public(),
        certificate: options.certificate.clone(),
        clock: options.clock.clone(),
        limits: ReplicaLimits::default(),
        issuer: Some(options.key.clone()),
        speaks: Some(Arc::new(move |row| presence.member_session(row).is_some())),
    };
    Ok(Replica::over(of, registry, load_all(&options.database)?, hears))
}

fn member_of(membership: &Membership, admitted: &Admitted) -> Member {
    Member {
        account: membership.account,
        user: membership.user.clone(),
        serial: membership.serial,
        not_after: membership.not_after,
        account_row: admitted.account,
        node_row: admitted.node,
    }
}

fn not_for_the_index() -> ErrorBody {
    ErrorBody::new(ErrorCode::BadMessage, "this request is not one for the index")
}

/// Who is online now, for the registry.
fn online(presence: &Presence) -> crate::registry::Online {
    let online = presence.online();
    Arc::new(move |row| online.contains(&row))
}
