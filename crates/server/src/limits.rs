//! How much each may ask for: each API key, each person, each network address; and how much all together.
//!
//! The counts are in memory, and each process has its own: see decision 22. A caller gets as many requests as fit into a
//! minute, at once if it likes, and they come back one by one.

use std::hash::Hash;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use directpay_domain::id::{ApiKeyId, OAuthClientId, UserId};
use directpay_domain::oauth::ClientKind;
use directpay_store::oauth::clients::Client;
use governor::clock::{Clock, DefaultClock};
use governor::middleware::StateInformationMiddleware;
use governor::state::keyed::DashMapStateStore;
use governor::{Quota, RateLimiter};
use metrics::Counter;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::config::{LimitArgs, RateLimit};
use crate::metrics::Registry;
use crate::origin::Origin;

/// Requests that are worked on at the same time in this process; twice what the intake takes.
const IN_FLIGHT_MAX: usize = 4096;
/// After so many requests those who have not come for long are forgotten.
const FORGET_EVERY: u64 = 65_536;

/// One limit, for each of those that it counts.
struct Limit<K: Hash + Eq + Clone> {
    name: &'static str,
    quota: Quota,
    limiter: RateLimiter<K, DashMapStateStore<K>, DefaultClock, StateInformationMiddleware>,
    exceeded: Counter,
}

/// Where a caller stands with one limit after a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Which limit.
    pub name: &'static str,
    /// Requests in a minute.
    pub quota: u32,
    /// Requests that may come now.
    pub remaining: u32,
    /// Seconds until all of them may come again; after a refusal until one may.
    pub reset_seconds: u64,
}

impl<K: Hash + Eq + Clone> Limit<K> {
    fn new(name: &'static str, per_minute: NonZeroU32, registry: &Registry) -> Limit<K> {
        let quota = Quota::per_minute(per_minute);
        let help = "Requests that were refused with 429, by the limit that they exceeded.";
        Limit {
            name,
            quota,
            limiter: RateLimiter::dashmap(quota).with_middleware(),
            exceeded: registry.counter("directpay_requests_limited_total", help, &[("limit", name)]),
        }
    }

    /// Counts a request; an error if it is one too many.
    fn count(&self, key: &K) -> Result<Standing, Standing> {
        let quota = self.quota.burst_size().get();
        let standing = |remaining, reset: Duration| Standing {
            name: self.name,
            quota,
            remaining,
            reset_seconds: reset.as_secs() + u64::from(0 < reset.subsec_nanos()),
        };
        match self.limiter.check_key(key) {
            Ok(state) => {
                let remaining = state.remaining_burst_capacity();
                Ok(standing(remaining, self.quota.replenish_interval() * (quota - remaining)))
            }
            Err(not_until) => {
                self.exceeded.increment(1);
                let wait = not_until.wait_time_from(self.limiter.clock().now());
                Err(standing(0, wait.max(Duration::from_secs(1))))
            }
        }
    }

    fn forget(&self) {
        self.limiter.retain_recent();
        self.limiter.shrink_to_fit();
    }
}

/// A program that acts for a person: it counts for itself, so that one that runs wild does not lock the person out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Program {
    /// By a key of the person's own.
    Key(ApiKeyId),
    /// Of somebody else's, whom the person let in: for each person by itself.
    Client(OAuthClientId, UserId),
    /// The same when it talks for itself and has proven who it is.
    Itself(OAuthClientId),
    /// One that proves nothing, for each address by itself: its name is known to everybody, who must not use up its requests.
    Named(OAuthClientId, IpAddr),
}

struct Counts {
    address: Limit<IpAddr>,
    sign_in: Limit<IpAddr>,
    user: Limit<UserId>,
    key: Limit<Program>,
    report: Limit<UserId>,
    requests: AtomicU64,
}

/// The limits of a process.
pub struct Limits {
    counts: Option<Counts>,
    in_flight: Arc<Semaphore>,
    shed: Counter,
}

impl Limits {
    /// As they are set.
    pub fn new(set: &LimitArgs, registry: &Registry) -> Limits {
        let counts = (set.rate_limit == RateLimit::On).then(|| Counts {
            address: Limit::new("address", set.limit_per_address, registry),
            sign_in: Limit::new("sign-in", set.limit_sign_ins, registry),
            user: Limit::new("user", set.limit_per_user, registry),
            key: Limit::new("key", set.limit_per_key, registry),
            report: Limit::new("report", set.limit_reports, registry),
            requests: AtomicU64::new(0),
        });
        let help = "Requests that were sent away with 503 because too many were under way.";
        let shed = registry.counter("directpay_requests_shed_total", help, &[]);
        Limits { counts, in_flight: Arc::new(Semaphore::new(IN_FLIGHT_MAX)), shed }
    }

    /// A place for one more request; none if too many are under way.
    pub fn take_place(&self) -> Option<OwnedSemaphorePermit> {
        let place = Arc::clone(&self.in_flight).try_acquire_owned().ok();
        if place.is_none() {
            self.shed.increment(1);
        }
        place
    }

    /// Counts any request, by where it comes from.
    pub fn count_address(&self, origin: Origin) -> Result<Option<Standing>, Standing> {
        let Some(counts) = &self.counts else { return Ok(None) };
        if counts.requests.fetch_add(1, Ordering::Relaxed) % FORGET_EVERY == FORGET_EVERY - 1 {
            counts.forget();
        }
        counts.address.count(&origin.household()).map(Some)
    }

    /// Counts a request for which a password is hashed or a token made.
    pub fn count_sign_in(&self, origin: Origin) -> Result<Option<Standing>, Standing> {
        self.counts.as_ref().map(|counts| counts.sign_in.count(&origin.household())).transpose()
    }

    /// Counts a request of a person, or of a program that acts for one.
    pub fn count_caller(&self, user: UserId, program: Option<Program>) -> Result<Option<Standing>, Standing> {
        let Some(counts) = &self.counts else { return Ok(None) };
        match program {
            Some(program) => counts.key.count(&program),
            None => counts.user.count(&user),
        }
        .map(Some)
    }

    /// Counts a request by which a program talks for itself.
    pub fn count_client(&self, client: &Client, origin: Origin) -> Result<Option<Standing>, Standing> {
        let program = match client.kind {
            ClientKind::Confidential => Program::Itself(client.id),
            ClientKind::Public => Program::Named(client.id, origin.household()),
        };
        self.counts.as_ref().map(|counts| counts.key.count(&program)).transpose()
    }

    /// Counts a request that sums up or prints much, by whoever it is for.
    pub fn count_report(&self, user: UserId) -> Result<Option<Standing>, Standing> {
        self.counts.as_ref().map(|counts| counts.report.count(&user)).transpose()
    }
}

impl Counts {
    fn forget(&self) {
        self.address.forget();
        self.sign_in.forget();
        self.user.forget();
        self.key.forget();
        self.report.forget();
    }
}
