//! Mail: written with what causes it, sent by a worker, by SMTP or into a folder.
//!
//! A letter holds no word that somebody typed: who signs up with another's address and a fine name must not have us send
//! advertisements. It is sealed until it is sent, because a link in it is as good as a password.

mod carrier;
pub mod letters;

use anyhow::Context;
use directpay_domain::time::DAY_US;
use directpay_store::Tx;
use directpay_store::mail::{self, NewMail, Taken};
use lettre::message::header::{ContentTransferEncoding, ContentType, MIME_VERSION_1_0};
use lettre::message::{Body, Mailbox, Message};

use self::carrier::Carrier;
pub use self::carrier::NotSent;
use self::letters::Letter;
use crate::app::{App, Bell};
use crate::clock;
use crate::config::{MailCarrier, MailPlace, PublicUrl};
use crate::secrets::VaultError;

/// A notice that could not be sent for so long tells no news.
pub const NOTICE_US: i64 = DAY_US;
/// What letters are sealed for.
pub(crate) const LETTER: &str = "letter";

/// How mail is sent.
pub struct Mail {
    carrier: Carrier,
    from: Mailbox,
    public_url: PublicUrl,
    /// Rings when there is a mail to send.
    pub bell: Bell,
}

/// A mail could not be written.
#[derive(Debug, thiserror::Error)]
pub enum Unwritten {
    /// It could not be sealed.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] directpay_store::StoreError),
    /// It could not be put into words.
    #[error("a letter could not be written")]
    Words(#[from] serde_json::Error),
}

impl Mail {
    /// Ready to send; connects to nobody yet.
    pub fn new(place: MailPlace) -> anyhow::Result<Mail> {
        let MailPlace { carrier, from, public_url } = place;
        let carrier = match carrier {
            MailCarrier::Smtp(url) => Carrier::smtp(&url).context("DIRECTPAY_SMTP_URL")?,
            MailCarrier::Folder(folder) => Carrier::Folder(folder),
        };
        Ok(Mail { carrier, from, public_url, bell: Bell::default() })
    }

    /// Whether people can be asked to prove their addresses: without a mail server nobody would get to see a link.
    pub fn reaches_people(&self) -> bool {
        matches!(self.carrier, Carrier::Smtp(_))
    }

    /// What links begin with.
    pub fn public_url(&self) -> &str {
        self.public_url.as_str()
    }

    /// Sends a mail that was taken, unless it is for nobody. However often that happens, it is the same mail.
    pub async fn send(&self, app: &App, taken: &Taken) -> Result<(), NotSent> {
        let opened = app.vault.open_for(LETTER, taken.id, &taken.letter).map_err(NotSent::unreadable)?;
        let Letter { to, subject, text } = serde_json::from_slice(&opened).map_err(NotSent::unreadable)?;
        let Some(to) = to else { return Ok(()) };
        let to: lettre::Address = to.parse().map_err(NotSent::refused)?;
        let host = self.from.email.domain();
        let message = Message::builder()
            .from(self.from.clone())
            .to(Mailbox::new(None, to))
            .subject(subject)
            .date(clock::system_time(taken.created_us))
            .message_id(Some(format!("<{}@{host}>", taken.id)))
            .header(MIME_VERSION_1_0)
            .header(ContentType::TEXT_PLAIN)
            .body(body(&text))
            .map_err(NotSent::refused)?;
        self.carrier.carry(taken.id, message).await
    }
}

/// The text as it stands, so that links are whole for whoever reads the mail's source; the longest line may have 998 characters
/// (RFC 5322, section 2.1.1).
fn body(text: &str) -> Body {
    if text.is_ascii() && text.lines().all(|line| line.len() <= 998) {
        let lines = text.replace('\n', "\r\n").into_bytes();
        return Body::dangerous_pre_encoded(lines, ContentTransferEncoding::SevenBit);
    }
    Body::new(text.to_owned())
}

/// Writes a letter into the outbox, to be sent when `tx` is committed; then the caller rings [`Mail::bell`].
pub async fn queue(app: &App, tx: &mut Tx, letter: &Letter, good_for_us: i64) -> Result<(), Unwritten> {
    let (id, now_us) = (clock::new_id(), app.clock.process_us());
    let sealed = app.vault.seal_for(LETTER, id, &serde_json::to_vec(letter)?)?;
    mail::insert(tx, NewMail { id, letter: &sealed, now_us, expires_us: now_us + good_for_us }).await?;
    Ok(())
}
