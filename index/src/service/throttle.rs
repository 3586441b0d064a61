//! How often names and passwords may be tried: by whom each attempt is counted.
//!
//! Whoever wants a hash pays before it is made; for a password that was right the price is given back.

use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard};

use certs::{UnixMillis, UserName};
use wire::{ErrorBody, ErrorCode};

use super::IndexService;
use crate::attempts::{Buckets, Rate, counted_by};
use crate::passwords::Asker;
use crate::registry::lock;
use crate::session::IndexSession;

/// Wrong passwords for one user from one address: five, then one in five seconds.
const USER_RATE: Rate = Rate { burst: 5, refill_ms: 5000 };
/// Wrong passwords for one user from all addresses: so many that nobody locks a user out from a few.
const USER_EVERYWHERE_RATE: Rate = Rate { burst: 100, refill_ms: 1000 };
/// Refusals for one address, behind which there may be many people: twenty, then one a second.
const ADDRESS_RATE: Rate = Rate { burst: 20, refill_ms: 1000 };
/// New accounts from one address: a room full of people, then one in ten seconds.
const SIGNUP_RATE: Rate = Rate { burst: 100, refill_ms: 10_000 };
/// Keys of each kind whose attempts are remembered.
const REMEMBERED: usize = 4096;

/// What was tried lately. Loopback is the operator's own: it is counted only for each user, and apart from all others.
pub(super) struct Throttle {
    attempts: Mutex<Attempts>,
}

struct Attempts {
    users: Buckets<(UserName, Option<IpAddr>)>,
    users_everywhere: Buckets<UserName>,
    addresses: Buckets<IpAddr>,
    signups: Buckets<IpAddr>,
}

/// One log-in that is tried.
struct Attempt<'a> {
    user: &'a UserName,
    ip: Option<IpAddr>,
    now: UnixMillis,
}

impl Throttle {
    pub(super) fn new() -> Self {
        let attempts = Attempts {
            users: Buckets::new(USER_RATE, REMEMBERED),
            users_everywhere: Buckets::new(USER_EVERYWHERE_RATE, REMEMBERED),
            addresses: Buckets::new(ADDRESS_RATE, REMEMBERED),
            signups: Buckets::new(SIGNUP_RATE, REMEMBERED),
        };
        Self { attempts: Mutex::new(attempts) }
    }

    fn lock(&self) -> MutexGuard<'_, Attempts> {
        lock(&self.attempts)
    }
}

impl IndexService {
    /// Whether a log-in may be tried.
    pub(super) fn check_login(&self, session: &IndexSession, user: &UserName) -> Result<(), ErrorBody> {
        self.inner.throttle.lock().check(&self.attempt(session, user)).map_err(rate_limited)
    }

    /// The same, and counts it.
    pub(super) fn charge_login(&self, session: &IndexSession, user: &UserName) -> Result<(), ErrorBody> {
        let attempt = self.attempt(session, user);
        let mut attempts = self.inner.throttle.lock();
        attempts.check(&attempt).map_err(rate_limited)?;
        attempts.charge(&attempt);
        Ok(())
    }

    /// The password was right: the log-in does not count.
    pub(super) fn refund_login(&self, session: &IndexSession, user: &UserName) {
        self.inner.throttle.lock().refund(&self.attempt(session, user));
    }

    /// Whether a name may be tried for a new account.
    pub(super) fn check_signup(&self, session: &IndexSession) -> Result<(), ErrorBody> {
        let Some(ip) = remote_ip(session) else { return Ok(()) };
        let attempts = self.inner.throttle.lock();
        let (signups, names) =
            (attempts.signups.check(&ip, self.now()), attempts.addresses.check(&ip, self.now()));
        signups.and(names).map_err(rate_limited)
    }

    /// The same for a name that is free, and counts it.
    pub(super) fn charge_signup(&self, session: &IndexSession) -> Result<(), ErrorBody> {
        let Some(ip) = remote_ip(session) else { return Ok(()) };
        let mut attempts = self.inner.throttle.lock();
        attempts.signups.check(&ip, self.now()).map_err(rate_limited)?;
        attempts.signups.charge(ip, self.now());
        Ok(())
    }

    /// Counts a name that was taken.
    pub(super) fn charge_name(&self, session: &IndexSession) {
        if let Some(ip) = remote_ip(session) {
            self.inner.throttle.lock().addresses.charge(ip, self.now());
        }
    }

    fn attempt<'a>(&self, session: &IndexSession, user: &'a UserName) -> Attempt<'a> {
        Attempt { user, ip: remote_ip(session), now: self.now() }
    }
}

impl Attempts {
    fn check(&self, attempt: &Attempt<'_>) -> Result<(), u64> {
        let &Attempt { user, ip, now } = attempt;
        self.users.check(&(user.clone(), ip), now)?;
        let Some(ip) = ip else { return Ok(()) };
        self.addresses.check(&ip, now)?;
        self.users_everywhere.check(user, now)
    }

    fn charge(&mut self, attempt: &Attempt<'_>) {
        let &Attempt { user, ip, now } = attempt;
        self.users.charge((user.clone(), ip), now);
        if let Some(ip) = ip {
            self.addresses.charge(ip, now);
            self.users_everywhere.charge(user.clone(), now);
        }
    }

    fn refund(&mut self, attempt: &Attempt<'_>) {
        let &Attempt { user, ip, .. } = attempt;
        self.users.refund(&(user.clone(), ip));
        if let Some(ip) = ip {
            self.addresses.refund(&ip);
            self.users_everywhere.refund(user);
        }
    }
}

/// By what the hashes that a session asks for are counted.
pub(super) fn asker(session: &IndexSession) -> Asker {
    Asker { session: session.number, address: remote_ip(session) }
}

fn remote_ip(session: &IndexSession) -> Option<IpAddr> {
    counted_by(session.connection.remote_address().ip().to_canonical())
}

fn rate_limited(wait_ms: u64) -> ErrorBody {
    let text = format!("too many attempts; try again in {} s", wait_ms.div_ceil(1000));
    ErrorBody::new(ErrorCode::RateLimited, text).retry_after(wait_ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMillis = UnixMillis(1_800_000_000_000);

    fn ip(number: u8) -> Option<IpAddr> {
        Some(IpAddr::from([192, 0, 2, number]))
    }

    fn user(text: &str) -> UserName {
        text.parse().expect("a name")
    }

    /// How many wrong passwords are heard before it is too many.
    fn heard(attempts: &mut Attempts, user: &UserName, ip: Option<IpAddr>) -> usize {
        let attempt = Attempt { user, ip, now: NOW };
        let mut count = 0;
        while attempts.check(&attempt).is_ok() {
            attempts.charge(&attempt);
            count += 1;
        }
        count
    }

    #[test]
    fn a_stranger_locks_nobody_out() {
        let throttle = Throttle::new();
        let (mut attempts, alice) = (throttle.lock(), user("alice"));
        assert_eq!(heard(&mut attempts, &alice, ip(1)), 5);
        assert_eq!(heard(&mut attempts, &alice, ip(2)), 5, "from elsewhere she gets in");
        assert_eq!(heard(&mut attempts, &user("bob"), ip(1)), 5);
        let from_everywhere: usize = (3..=255).map(|number| heard(&mut attempts, &alice, ip(number))).sum();
        assert_eq!(from_everywhere, 90, "a hundred in all");
        assert_eq!(heard(&mut attempts, &alice, None), 5, "the operator is not touched");
        let names: usize =
            (0..10).map(|number| heard(&mut attempts, &user(&format!("u{number}")), ip(1))).sum();
        assert_eq!(names, 10, "twenty from one address");
    }

    #[test]
    fn a_right_password_costs_nothing() {
        let throttle = Throttle::new();
        let (mut attempts, alice) = (throttle.lock(), user("alice"));
        for _ in 0..100 {
            let attempt = Attempt { user: &alice, ip: ip(1), now: NOW };
            attempts.check(&attempt).expect("not limited");
            attempts.charge(&attempt);
            attempts.refund(&attempt);
        }
        assert_eq!(heard(&mut attempts, &alice, ip(1)), 5);
    }
}
