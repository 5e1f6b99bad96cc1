//! Who carries mail: a mail server, or a file each.

use std::error::Error;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use lettre::transport::smtp::response::{Category, Severity};
use lettre::{AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};
use uuid::Uuid;

use crate::config::SmtpUrl;

/// However slow a mail server is: shorter than a worker may be silent.
const PATIENCE: Duration = Duration::from_secs(20);

/// See the module.
pub(super) enum Carrier {
    Smtp(AsyncSmtpTransport<Tokio1Executor>),
    Folder(PathBuf),
}

/// Why a mail was not sent. The text names no address.
#[derive(Debug, thiserror::Error)]
pub enum NotSent {
    /// Never with these words to this address.
    #[error("the mail was refused for good: {0}")]
    Refused(String),
    /// Perhaps another time.
    #[error("the mail could not be handed over: {0}")]
    NotNow(String),
}

impl NotSent {
    pub(super) fn refused(_names_the_address: impl Error) -> NotSent {
        NotSent::Refused("it has no address that mail can go to".into())
    }

    /// With another secrets file it may be readable.
    pub(super) fn unreadable(error: impl Error) -> NotSent {
        NotSent::NotNow(error.to_string())
    }
}

impl Carrier {
    pub(super) fn smtp(url: &SmtpUrl) -> Result<Carrier, lettre::transport::smtp::Error> {
        let transport = AsyncSmtpTransport::<Tokio1Executor>::from_url(url.expose())?;
        Ok(Carrier::Smtp(transport.timeout(Some(PATIENCE)).build()))
    }

    pub(super) async fn carry(&self, id: Uuid, message: Message) -> Result<(), NotSent> {
        match self {
            Carrier::Smtp(transport) => match tokio::time::timeout(PATIENCE, transport.send(message)).await {
                Ok(sent) => sent.map(drop).map_err(|error| judge(&error)),
                Err(_) => Err(NotSent::NotNow("the mail server takes too long".into())),
            },
            Carrier::Folder(folder) => {
                let (folder, text) = (folder.clone(), message.formatted());
                let kept = tokio::task::spawn_blocking(move || keep(&folder, id, &text)).await;
                let kept = kept.map_err(|error| NotSent::NotNow(error.to_string()))?;
                kept.map_err(|error| NotSent::NotNow(format!("its file cannot be written: {error}")))
            }
        }
    }
}

/// What a mail server said. Its words may repeat an address: only the code is kept.
fn judge(error: &lettre::transport::smtp::Error) -> NotSent {
    let Some(code) = error.status() else {
        let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
        return NotSent::NotNow(format!("{error}{cause}"));
    };
    // That we may not sign in, or not yet, is for the operator to mend; what else is refused for good stays so.
    let is_final = code.severity == Severity::PermanentNegativeCompletion && code.category != Category::Unspecified3;
    if is_final { NotSent::Refused(code.to_string()) } else { NotSent::NotNow(code.to_string()) }
}

/// Whole or not at all, for its owner only; the same mail is the same file.
fn keep(folder: &Path, id: Uuid, text: &[u8]) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)?;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(text)?;
    file.as_file().sync_all()?;
    file.persist(folder.join(format!("{id}.eml"))).map_err(|error| error.error)?;
    Ok(())
}
