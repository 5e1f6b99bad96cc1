//! The trail: who did what from where, beside the events that say what happened to payments and leases.
//!
//! An entry is never changed. Each carries a hash of its stored form and of the hash of the entry before it, as events do in
//! their histories (`chain`); the trail has one chain for all entries.

mod action;

use sha2::{Digest as _, Sha256};
use uuid::Uuid;

pub use self::action::Action;

use crate::digest::Digest;
use crate::id::{
    ApiKeyId, AuthorizationId, BankAccountId, LeaseId, OAuthClientId, PaymentId, PropertyId, UserId, WebhookId,
};

/// No other thing that is hashed begins with it.
const TAG: &[u8] = b"directpay trail 1\n";

/// Who acts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Actor {
    /// A person, or a program for that person.
    User {
        /// Who.
        id: UserId,
        /// Whether that person administers the system.
        is_admin: bool,
        /// What was shown to prove it; none for whoever signs up.
        credential: Option<Credential>,
    },
    /// Somebody who is not signed in.
    Nobody,
    /// Whoever may run commands on the machine.
    Command,
}

impl Actor {
    /// The name under which it is stored.
    pub fn name(self) -> &'static str {
        match self {
            Actor::User { is_admin: false, .. } => "USER",
            Actor::User { is_admin: true, .. } => "ADMIN",
            Actor::Nobody => "NOBODY",
            Actor::Command => "COMMAND",
        }
    }

    /// The same, whatever was shown.
    pub fn unproven(self) -> Actor {
        match self {
            Actor::User { id, is_admin, .. } => Actor::User { id, is_admin, credential: None },
            Actor::Nobody | Actor::Command => self,
        }
    }

    /// The person.
    pub fn user_id(self) -> Option<UserId> {
        match self {
            Actor::User { id, .. } => Some(id),
            Actor::Nobody | Actor::Command => None,
        }
    }

    /// What was shown.
    pub fn credential(self) -> Option<Credential> {
        match self {
            Actor::User { credential, .. } => credential,
            Actor::Nobody | Actor::Command => None,
        }
    }
}

/// What a request showed to prove for whom it is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Credential {
    /// An access token of this sign-in.
    Session(Uuid),
    /// An API key.
    ApiKey(ApiKeyId),
    /// An access token of this program of somebody else's.
    OAuthClient(OAuthClientId),
}

impl Credential {
    /// The name under which its kind is stored.
    pub fn name(self) -> &'static str {
        match self {
            Credential::Session(_) => "SESSION",
            Credential::ApiKey(_) => "API_KEY",
            Credential::OAuthClient(_) => "OAUTH_CLIENT",
        }
    }

    /// Which one.
    pub fn id(self) -> Uuid {
        match self {
            Credential::Session(id) | Credential::ApiKey(ApiKeyId(id)) | Credential::OAuthClient(OAuthClientId(id)) => {
                id
            }
        }
    }
}

/// To what it was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Subject {
    /// Of which kind it is.
    pub kind: SubjectKind,
    /// Which one.
    pub id: Uuid,
}

impl Subject {
    /// A mandate, whose ids have no type of their own.
    pub fn mandate(id: Uuid) -> Subject {
        Subject { kind: SubjectKind::Mandate, id }
    }

    /// A sign-in.
    pub fn session(id: Uuid) -> Subject {
        Subject { kind: SubjectKind::Session, id }
    }
}

/// What entries are about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SubjectKind {
    /// A person.
    User,
    /// A sign-in.
    Session,
    /// An API key.
    ApiKey,
    /// A bank account.
    BankAccount,
    /// A property.
    Property,
    /// A lease.
    Lease,
    /// A mandate.
    Mandate,
    /// A payment.
    Payment,
    /// A webhook.
    Webhook,
    /// A program of somebody else's.
    OAuthClient,
    /// What a person has let such a program do.
    Authorization,
}

impl SubjectKind {
    /// All of them.
    pub const ALL: [SubjectKind; 11] = [
        SubjectKind::User,
        SubjectKind::Session,
        SubjectKind::ApiKey,
        SubjectKind::BankAccount,
        SubjectKind::Property,
        SubjectKind::Lease,
        SubjectKind::Mandate,
        SubjectKind::Payment,
        SubjectKind::Webhook,
        SubjectKind::OAuthClient,
        SubjectKind::Authorization,
    ];

    /// The name under which it is stored and told.
    pub fn name(self) -> &'static str {
        match self {
            SubjectKind::User => "USER",
            SubjectKind::Session => "SESSION",
            SubjectKind::ApiKey => "API_KEY",
            SubjectKind::BankAccount => "BANK_ACCOUNT",
            SubjectKind::Property => "PROPERTY",
            SubjectKind::Lease => "LEASE",
            SubjectKind::Mandate => "MANDATE",
            SubjectKind::Payment => "PAYMENT",
            SubjectKind::Webhook => "WEBHOOK",
            SubjectKind::OAuthClient => "OAUTH_CLIENT",
            SubjectKind::Authorization => "AUTHORIZATION",
        }
    }
}

macro_rules! subjects {
    ($($id:ident $kind:ident;)+) => { $(
        impl From<$id> for Subject {
            fn from(id: $id) -> Subject {
                Subject { kind: SubjectKind::$kind, id: id.0 }
            }
        }
    )+ };
}

subjects! {
    UserId User;
    ApiKeyId ApiKey;
    BankAccountId BankAccount;
    PropertyId Property;
    LeaseId Lease;
    PaymentId Payment;
    WebhookId Webhook;
    OAuthClientId OAuthClient;
    AuthorizationId Authorization;
}

/// The longest user agent that is kept.
const USER_AGENT_MAX: usize = 200;

/// What a program says of itself, for an entry: what is printed, and no more than 200 characters of it.
pub fn clean_user_agent(text: &str) -> String {
    text.chars().filter(|c| c.is_ascii_graphic() || *c == ' ').take(USER_AGENT_MAX).collect()
}

/// An entry as it is stored: every column of its row but its position, which the chain holds.
#[derive(Debug, Clone, Copy)]
pub struct Link<'a> {
    /// Which entry.
    pub id: Uuid,
    /// When it was done, or last of several times, in process time.
    pub occurred_at: i64,
    /// When it was done first.
    pub since: i64,
    /// How often.
    pub times: i64,
    /// What follows on each other: who, what and from where; none where nothing is said.
    pub ids: [Option<Uuid>; 4],
    /// Names and texts.
    pub texts: [Option<&'a str>; 8],
}

impl Link<'_> {
    /// The entry's hash, behind an entry with the hash `before`; behind [`Digest::ZERO`] if it is the first.
    ///
    /// Numbers are eight bytes, the highest first. What may be missing stands behind a byte that says whether it is there, a text
    /// behind its length in bytes besides.
    pub fn hash(&self, before: Digest) -> Digest {
        let mut hash = Sha256::new();
        hash.update(TAG);
        hash.update(before.0);
        hash.update(self.id.as_bytes());
        for number in [self.occurred_at, self.since, self.times] {
            hash.update(number.to_be_bytes());
        }
        for id in self.ids {
            hash.update([u8::from(id.is_some())]);
            hash.update(id.as_ref().map_or(&[][..], |id| id.as_bytes()));
        }
        for text in self.texts {
            hash.update([u8::from(text.is_some())]);
            if let Some(text) = text {
                hash.update(u64::try_from(text.len()).unwrap_or(u64::MAX).to_be_bytes());
                hash.update(text.as_bytes());
            }
        }
        Digest(hash.finalize().into())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn link<'a>() -> Link<'a> {
        Link {
            id: Uuid::from_u128(7),
            occurred_at: 1_700_000_000_000_000,
            since: 1_600_000_000_000_000,
            times: 3,
            ids: [Some(Uuid::from_u128(1)), None, Some(Uuid::from_u128(2)), None],
            texts: [Some("USER"), None, Some("api_key.created"), None, None, None, Some("ü"), None],
        }
    }

    #[test]
    fn every_field_counts_and_so_does_where_it_ends() {
        let mut ids = link().ids;
        ids.swap(0, 1);
        let mut texts = link().texts;
        texts.swap(0, 1);
        let links = [
            link(),
            Link { id: Uuid::from_u128(8), ..link() },
            Link { occurred_at: 0, ..link() },
            Link { since: 0, ..link() },
            Link { times: 4, ..link() },
            Link { ids, ..link() },
            Link { texts, ..link() },
            Link {
                texts: [Some("USE"), Some("R"), Some("api_key.created"), None, None, None, Some("ü"), None],
                ..link()
            },
        ];
        let hashes: BTreeSet<_> = links.iter().map(|link| link.hash(Digest::ZERO)).collect();
        assert_eq!(hashes.len(), links.len());
        assert_ne!(link().hash(Digest::ZERO), link().hash(Digest([1; 32])));
    }

    #[test]
    fn a_user_agent_is_cleaned_and_cut() {
        assert_eq!(clean_user_agent("curl/8\u{1b}[31m\n\u{202e}x"), "curl/8[31mx");
        assert_eq!(clean_user_agent(&"x".repeat(500)).len(), 200);
    }
}
