//! What mails say: one function for each.

use directpay_domain::user::Email;

/// A mail, to be sealed.
#[derive(serde::Serialize, serde::Deserialize)]
pub struct Letter {
    /// The address; none for a mail to nobody, which costs as much to write.
    pub to: Option<String>,
    /// One line.
    pub subject: String,
    /// Plain text.
    pub text: String,
}

impl Letter {
    fn new(to: &str, subject: &str, text: String) -> Letter {
        Letter { to: Some(to.to_owned()), subject: subject.to_owned(), text }
    }

    /// The same mail to nobody.
    pub fn to_nobody(self) -> Letter {
        Letter { to: None, ..self }
    }
}

/// A link whose token no server on the way gets to see: what stands behind `#` stays with whoever opens it.
fn link(public_url: &str, page: &str, token: &str) -> String {
    format!("{public_url}/{page}#token={token}")
}

/// A link with which a password is set. The time stands in the text because the mail may come late.
pub fn password_reset(public_url: &str, to: &str, token: &str) -> Letter {
    let link = link(public_url, "reset", token);
    let text = format!(
        "Somebody, probably you, wants to set a new password for DirectPay.\n\n\
         Open this link within 30 minutes. It works once:\n\n{link}\n\n\
         Programs send what follows `token=` with the new password to\n\
         {public_url}/api/v1/auth/password-reset/confirm\n\n\
         If it was not you, do nothing: your password stays as it is.\n"
    );
    Letter::new(to, "Set a new password", text)
}

/// A link that proves that an address is the person's.
pub fn confirm_email(public_url: &str, to: &Email, token: &str) -> Letter {
    let link = link(public_url, "confirm-email", token);
    let text = format!(
        "Somebody, probably you, uses this address for DirectPay.\n\n\
         Open this link within 24 hours to confirm that it is yours. It works once:\n\n{link}\n\n\
         Programs send what follows `token=` to\n\
         {public_url}/api/v1/auth/email/confirm\n\n\
         If it was not you, do nothing.\n"
    );
    Letter::new(to.as_str(), "Confirm your e-mail address", text)
}

/// The password is another.
pub fn password_changed(public_url: &str, to: &str, usable_keys: i64, programs: i64, own: i64) -> Letter {
    let mut keys = match usable_keys {
        0 => String::new(),
        keys => format!("API keys stay as they are; you have {keys} that can be used.\n\n"),
    };
    if 0 < programs {
        keys.push_str("Programs of others that you let act for you stay, too.\n");
        keys.push_str(&format!("Look through them ({programs} now):\n{public_url}/programs\n\n"));
    }
    if 0 < own {
        keys.push_str("Programs that you registered and that act for you by a secret stay, too.\n");
        keys.push_str(&format!("Look through them ({own} now):\n{public_url}/programs\n\n"));
    }
    let text = format!(
        "Your password for DirectPay was changed, and all other sessions were ended:\n{public_url}\n\n{keys}\
         If it was not you, set a new password at once, look through your API keys,\nand tell whoever runs the server.\n"
    );
    Letter::new(to, "Your password was changed", text)
}

/// The address is another; to the old one.
pub fn email_changed(public_url: &str, to: &str) -> Letter {
    let text = format!(
        "The e-mail address of your DirectPay account was changed:\n{public_url}\n\nThis one is not used any more.\n\n\
         If it was not you, tell whoever runs the server at once.\n"
    );
    Letter::new(to, "Your e-mail address was changed", text)
}

/// Codes are asked for from now on.
pub fn second_factor_on(public_url: &str, to: &str) -> Letter {
    let text = format!(
        "From now on signing in takes a one-time code besides your password:\n{public_url}\n\n\
         If it was not you, set a new password and tell whoever runs the server.\n"
    );
    Letter::new(to, "Second factor turned on", text)
}

/// Codes are not asked for any more.
pub fn second_factor_off(public_url: &str, to: &str) -> Letter {
    let text = format!(
        "The second factor was removed: signing in takes your password alone.\n{public_url}\n\n\
         If it was not you, set a new password at once\nand tell whoever runs the server.\n"
    );
    Letter::new(to, "Second factor removed", text)
}

/// Recovery codes were made anew.
pub fn recovery_codes_renewed(public_url: &str, to: &str) -> Letter {
    let text = format!(
        "New recovery codes were made. Those from before are worthless.\n{public_url}\n\n\
         If it was not you, set a new password at once\nand tell whoever runs the server.\n"
    );
    Letter::new(to, "New recovery codes", text)
}

/// There is one more API key.
pub fn api_key_made(public_url: &str, to: &str, last4: &str, scopes: &str) -> Letter {
    let text = format!(
        "An API key was made that acts for you:\n{public_url}\n\nIt ends in {last4} and may do:\n{}\n\n\
         If it was not you, revoke it, and set a new password.\n",
        scopes.replace(' ', "\n")
    );
    Letter::new(to, "A new API key", text)
}

/// A program that the person registered acts for the person by its secret alone.
pub fn own_program(public_url: &str, to: &str, client_id: &str, scopes: &str) -> Letter {
    let text = format!(
        "A program that you registered was made or changed. It acts for you\nby a secret of its own, and may do:\n{}\n\n\
         It is {client_id}. See it here:\n{public_url}/programs\n\n\
         If it was not you, set a new password, and delete the program.\n",
        scopes.replace(' ', "\n")
    );
    Letter::new(to, "A program acts for you by a secret", text)
}

/// A program of somebody else's acts from now on.
pub fn program_authorized(public_url: &str, to: &str, scopes: &str) -> Letter {
    let text = format!(
        "You let a program of somebody else act for you. It may do:\n{}\n\n\
         See which one it is, and end it whenever you like:\n{public_url}/programs\n\n\
         If it was not you, end it there, and set a new password.\n",
        scopes.replace(' ', "\n")
    );
    Letter::new(to, "A program may act for you", text)
}

/// A program of somebody else's was stopped because one of its secrets came twice.
pub fn program_stopped(public_url: &str, to: &str) -> Letter {
    let text = format!(
        "A program that you let act for you used a secret twice. Perhaps somebody\nhas stolen it, so the program was stopped.\n\n\
         See which ones still act for you:\n{public_url}/programs\n\n\
         If you let it in again, tell its maker.\n"
    );
    Letter::new(to, "A program was stopped", text)
}

/// Somebody who knows the password has tried codes.
pub fn wrong_codes(public_url: &str, to: &str) -> Letter {
    let text = format!(
        "Somebody who knows your password sent wrong one-time codes:\n{public_url}\n\n\
         If it was not you, change your password.\n"
    );
    Letter::new(to, "Wrong one-time codes", text)
}
