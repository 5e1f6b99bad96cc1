//! What the trail tells of: a closed list.

use std::fmt;

use crate::invalid::Invalid;

macro_rules! actions {
    ($($(#[$doc:meta])+ $variant:ident = $name:literal;)+) => {
        /// What was done, or tried.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Action {
            $($(#[$doc])+ $variant,)+
        }

        impl Action {
            /// All of them.
            pub const ALL: &[Action] = &[$(Action::$variant),+];

            /// The name under which it is stored and told.
            pub fn name(self) -> &'static str {
                match self {
                    $(Action::$variant => $name,)+
                }
            }
        }
    };
}

actions! {
    /// Somebody signed in.
    SignInSucceeded = "sign_in.succeeded";
    /// An e-mail address and a password that do not belong together, or a wrong one-time code.
    SignInRefused = "sign_in.refused";
    /// A session was ended by its token.
    SessionEnded = "session.ended";
    /// A refresh token came a second time, which ended its session.
    SessionReused = "session.reused";
    /// A session or an API key was used.
    AccessUsed = "access.used";
    /// What a session or an API key asked for was refused (401, 403, 404).
    AccessRefused = "access.refused";
    /// A report or a statement was read.
    ReportRead = "report.read";
    /// The feed was read.
    EventsRead = "events.read";
    /// The trail was read.
    TrailRead = "trail.read";
    /// Somebody signed up, or was made an administrator.
    UserCreated = "user.created";
    /// A name or phone number was changed.
    ProfileChanged = "profile.changed";
    /// A password was changed by somebody who knew it.
    PasswordChanged = "password.changed";
    /// A link to a new password was asked for.
    PasswordResetAsked = "password_reset.asked";
    /// A password was set by a link.
    PasswordReset = "password_reset.used";
    /// Another e-mail address was asked for.
    EmailChangeAsked = "email_change.asked";
    /// The link that confirms an e-mail address was asked for again.
    EmailConfirmationAsked = "email_confirmation.asked";
    /// An e-mail address was confirmed by a link.
    EmailConfirmed = "email.confirmed";
    /// A second factor was begun to be set up.
    SecondFactorBegun = "second_factor.begun";
    /// A second factor was turned on.
    SecondFactorTurnedOn = "second_factor.turned_on";
    /// A second factor was turned off by its owner.
    SecondFactorTurnedOff = "second_factor.turned_off";
    /// A second factor was taken away by an administrator.
    SecondFactorRemoved = "second_factor.removed";
    /// Recovery codes were made anew.
    RecoveryCodesRenewed = "recovery_codes.renewed";
    /// An API key was made.
    ApiKeyCreated = "api_key.created";
    /// An API key was ended.
    ApiKeyRevoked = "api_key.revoked";
    /// A program of somebody else's was registered.
    OAuthClientCreated = "oauth_client.created";
    /// A program of somebody else's was changed.
    OAuthClientChanged = "oauth_client.changed";
    /// The secret of such a program was exchanged.
    OAuthClientSecretRotated = "oauth_client.secret_rotated";
    /// Such a program was deleted.
    OAuthClientDeleted = "oauth_client.deleted";
    /// A person let such a program act.
    AuthorizationGranted = "authorization.granted";
    /// That was ended, by the person or the program.
    AuthorizationEnded = "authorization.ended";
    /// A code or a refresh token came a second time, which ended it.
    AuthorizationReused = "authorization.reused";
    /// A bank account was linked.
    BankAccountLinked = "bank_account.linked";
    /// A bank account was made the primary one.
    BankAccountMadePrimary = "bank_account.made_primary";
    /// A bank account takes part in payments again.
    BankAccountActivated = "bank_account.activated";
    /// A bank account takes part in no new payment.
    BankAccountDeactivated = "bank_account.deactivated";
    /// A property was entered.
    PropertyCreated = "property.created";
    /// A lease was entered.
    LeaseCreated = "lease.created";
    /// A lease was given an earlier end.
    LeaseTerminated = "lease.terminated";
    /// The renters share otherwise.
    LeaseSharesChanged = "lease.shares_changed";
    /// Something was charged.
    LeaseChargeCreated = "lease.charge_created";
    /// A charge was voided.
    LeaseChargeVoided = "lease.charge_voided";
    /// Money was let off.
    LeaseCreditGranted = "lease.credit_granted";
    /// An extra was added.
    LeaseExtraAdded = "lease.extra_added";
    /// An extra was ended.
    LeaseExtraEnded = "lease.extra_ended";
    /// The rent was changed.
    LeaseRentChanged = "lease.rent_changed";
    /// The payment policy was changed.
    LeasePolicyChanged = "lease.policy_changed";
    /// The charge notice was changed.
    LeaseNoticeChanged = "lease.charge_notice_changed";
    /// Late fees were changed.
    LeaseLateFeesChanged = "lease.late_fees_changed";
    /// A deposit was returned, or kept.
    DepositReturned = "lease.deposit_returned";
    /// A mandate was signed.
    MandateSigned = "mandate.signed";
    /// A mandate was paused.
    MandatePaused = "mandate.paused";
    /// A mandate was resumed.
    MandateResumed = "mandate.resumed";
    /// A mandate was revoked.
    MandateRevoked = "mandate.revoked";
    /// A draw of a mandate was skipped.
    MandateDrawSkipped = "mandate.draw_skipped";
    /// A payment was cancelled.
    PaymentCancelled = "payment.cancelled";
    /// A payment is to be tried again.
    PaymentRetried = "payment.retried";
    /// A webhook was made.
    WebhookCreated = "webhook.created";
    /// A webhook was changed.
    WebhookChanged = "webhook.changed";
    /// A webhook was deleted.
    WebhookDeleted = "webhook.deleted";
    /// A webhook was paused.
    WebhookPaused = "webhook.paused";
    /// A webhook was resumed.
    WebhookResumed = "webhook.resumed";
    /// The secret of a webhook was changed.
    WebhookSecretRotated = "webhook.secret_rotated";
    /// A test was sent to a webhook.
    WebhookTested = "webhook.tested";
    /// Something was sent to a webhook again.
    WebhookResent = "webhook.resent";
    /// Business time was moved.
    ClockAdvanced = "clock.advanced";
    /// A key of the secrets file was taken into use by a command.
    KeyTakenIntoUse = "key.taken_into_use";
    /// A key of the secrets file was retired by a command.
    KeyRetired = "key.retired";
    /// Records were sealed anew by a command.
    RecordsResealed = "records.resealed";
    /// The journal was exported by a command.
    JournalExported = "journal.exported";
    /// The trail was exported by a command.
    TrailExported = "trail.exported";
    /// A payment's history was taken out as a proof by a command.
    PaymentProven = "payment.proven";
}

impl Action {
    /// The action of this name.
    pub fn parse(text: &str) -> Result<Action, Invalid> {
        let found = Action::ALL.iter().copied().find(|action| action.name() == text);
        found.ok_or_else(|| Invalid::new("unknown", "is no action of the trail"))
    }

    /// What came of it.
    pub fn outcome(self) -> &'static str {
        let is_refused = matches!(
            self,
            Action::SignInRefused | Action::AccessRefused | Action::SessionReused | Action::AuthorizationReused
        );
        if is_refused { "REFUSED" } else { "DONE" }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_read_back_and_stand_once() {
        let names: BTreeSet<_> = Action::ALL.iter().map(|action| action.name()).collect();
        assert_eq!(names.len(), Action::ALL.len());
        for action in Action::ALL {
            assert_eq!(Action::parse(action.name()), Ok(*action));
        }
        assert!(Action::parse("lease.sold").is_err());
    }
}
