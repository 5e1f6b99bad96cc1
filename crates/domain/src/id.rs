//! Identities. Each noun has a type of its own, so that a lease cannot be looked up by a payment's id.

use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident;)+) => { $(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;
            fn from_str(text: &str) -> Result<$name, uuid::Error> {
                Uuid::parse_str(text).map($name)
            }
        }

        impl From<Uuid> for $name {
            fn from(uuid: Uuid) -> $name {
                $name(uuid)
            }
        }
    )+ };
}

ids! {
    /// A person who signs in.
    UserId;
    /// A linked bank account.
    BankAccountId;
    /// A house or flat that is let.
    PropertyId;
    /// A lease.
    LeaseId;
    /// A row of a lease's schedule.
    ChargeId;
    /// A payment.
    PaymentId;
    /// An API key.
    ApiKeyId;
    /// A program of somebody else's that acts for people who let it.
    OAuthClientId;
    /// A person's word that such a program may.
    AuthorizationId;
    /// An event of any history.
    EventId;
    /// An address that is told of events.
    WebhookId;
    /// An event on its way to a webhook.
    DeliveryId;
}
