//! Signed roots of the logs' trees as text: the checkpoint of a transparency log in a signed note, by the C2SP specifications
//! `tlog-checkpoint` and `signed-note`. Anybody verifies one with a public key and no part of DirectPay.

use std::str::FromStr;

use anyhow::Context;
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use directpay_domain::digest::Digest;
use directpay_domain::time::Instant;
use directpay_store::log_tree::Log;
use sha2::{Digest as _, Sha256};

use crate::secrets::SigningKey;

/// Which log it is, and whose signature.
fn name_of(log: Log) -> &'static str {
    match log {
        Log::Events => "directpay/events",
        Log::Trail => "directpay/trail",
    }
}

/// Ed25519, in the specification.
const ALGORITHM: u8 = 1;

/// What a checkpoint says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Statement {
    /// Of which log.
    pub log: Log,
    /// How many events or entries there were.
    pub size: i64,
    /// The root of the tree over them.
    pub root: Digest,
    /// When it was said, in process time.
    pub made_at: Instant,
}

impl Statement {
    fn to_text(self) -> String {
        format!("{}\n{}\n{}\nmade at {}\n", name_of(self.log), self.size, BASE64.encode(self.root.0), self.made_at)
    }

    fn parse(text: &str) -> Option<Statement> {
        let mut lines = text.lines();
        let (name, size, root) = (lines.next()?, lines.next()?, lines.next()?);
        let made_at = lines.next()?.strip_prefix("made at ")?;
        let root = Digest::from_bytes(&BASE64.decode(root).ok()?).ok()?;
        let log = Log::ALL.into_iter().find(|log| name_of(*log) == name)?;
        let statement = Statement { log, size: size.parse().ok()?, root, made_at: made_at.parse().ok()? };
        // One form only, so that nothing is signed that is not read.
        (statement.to_text() == text).then_some(statement)
    }
}

/// A public key, written as `NAME+ID+KEY`. One key signs both logs; it has a name and an id for each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verifier {
    public: Vec<u8>,
}

impl Verifier {
    /// The first bytes of each of its signatures of a log.
    fn id(&self, log: Log) -> [u8; 4] {
        let named = Sha256::new().chain_update(name_of(log)).chain_update([b'\n', ALGORITHM]);
        let hash = named.chain_update(&self.public).finalize();
        let [a, b, c, d, ..]: [u8; 32] = hash.into();
        [a, b, c, d]
    }

    fn signed(&self, log: Log, text: &str, signature: &[u8]) -> bool {
        signature.strip_prefix(&self.id(log)).is_some_and(|signature| {
            UnparsedPublicKey::new(&ED25519, &self.public).verify(text.as_bytes(), signature).is_ok()
        })
    }
}

impl Verifier {
    /// As it is written for the signatures of one log.
    pub fn text_for(&self, log: Log) -> String {
        let key = [&[ALGORITHM], self.public.as_slice()].concat();
        format!("{}+{:08x}+{}", name_of(log), u32::from_be_bytes(self.id(log)), BASE64.encode(key))
    }
}

impl FromStr for Verifier {
    type Err = anyhow::Error;
    fn from_str(text: &str) -> anyhow::Result<Verifier> {
        let named = |log: Log| Some((log, text.trim().strip_prefix(name_of(log))?.strip_prefix('+')?));
        let (log, rest) = Log::ALL
            .into_iter()
            .find_map(named)
            .context("a public key of checkpoints begins with directpay/events+ or directpay/trail+")?;
        let (_, key) = rest.split_once('+').context("the public key has no id")?;
        let bytes = BASE64.decode(key).context("the public key is not base64")?;
        let public = bytes.strip_prefix(&[ALGORITHM]).filter(|public| public.len() == 32);
        let verifier = Verifier { public: public.context("the public key is not one of Ed25519")?.to_vec() };
        anyhow::ensure!(verifier.text_for(log) == text.trim(), "the public key does not fit its own id");
        Ok(verifier)
    }
}

/// Signs checkpoints, and knows which keys have signed them.
pub struct Signer {
    pair: Ed25519KeyPair,
    verifiers: Vec<Verifier>,
}

impl Signer {
    /// Signs with the first key; all are its own.
    pub fn new(keys: &[SigningKey]) -> anyhow::Result<Signer> {
        let first = keys.first().context("no key for checkpoints")?;
        let pair = Ed25519KeyPair::from_pkcs8(&first.pkcs8).map_err(|_| anyhow::anyhow!("a key is not Ed25519"))?;
        let verifiers = keys.iter().map(|key| Verifier { public: key.public.clone() }).collect();
        Ok(Signer { pair, verifiers })
    }

    /// The public keys, that which signs first.
    pub fn verifiers(&self) -> &[Verifier] {
        &self.verifiers
    }

    /// The signed text of a statement.
    pub fn sign(&self, statement: Statement) -> String {
        let (text, name) = (statement.to_text(), name_of(statement.log));
        let verifier = Verifier { public: self.pair.public_key().as_ref().to_vec() };
        let signature = [&verifier.id(statement.log), self.pair.sign(text.as_bytes()).as_ref()].concat();
        format!("{text}\n\u{2014} {name} {}\n", BASE64.encode(signature))
    }
}

/// What a signed text says, if one of the keys has signed it. Signatures of others, such as witnesses, may stand below.
pub fn open(note: &str, verifiers: &[Verifier]) -> anyhow::Result<Statement> {
    let (text, signatures) = note.split_once("\n\n").context("it is not a signed note")?;
    let text = format!("{text}\n");
    let said = Statement::parse(&text);
    let log = said.map_or(Log::Events, |statement| statement.log);
    let prefix = format!("\u{2014} {} ", name_of(log));
    let ours = signatures.lines().filter_map(|line| BASE64.decode(line.strip_prefix(&prefix)?).ok());
    let is_signed =
        ours.into_iter().any(|signature| verifiers.iter().any(|verifier| verifier.signed(log, &text, &signature)));
    anyhow::ensure!(is_signed, "none of the known keys has signed it");
    said.context("it is signed, but does not say what a checkpoint says")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signer() -> Signer {
        let pkcs8 = Ed25519KeyPair::generate_pkcs8(&aws_lc_rs::rand::SystemRandom::new()).unwrap();
        let pair = Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).unwrap();
        let public = pair.public_key().as_ref().to_vec();
        Signer::new(&[SigningKey { id: "log-1".into(), pkcs8: pkcs8.as_ref().to_vec(), public }]).unwrap()
    }

    fn statement() -> Statement {
        Statement {
            log: Log::Events,
            size: 300,
            root: Digest([7; 32]),
            made_at: Instant::parse("2026-03-01T12:00:00Z").unwrap(),
        }
    }

    #[test]
    fn what_is_signed_is_read_with_the_public_key_alone() {
        let signer = signer();
        let note = signer.sign(statement());
        let verifier: Verifier = signer.verifiers()[0].text_for(Log::Trail).parse().unwrap();
        assert_eq!(open(&note, &[verifier]).unwrap(), statement());
        let witnessed = format!("{note}\u{2014} witness.example AAAAAAAA\n");
        assert_eq!(open(&witnessed, signer.verifiers()).unwrap(), statement());
    }

    #[test]
    fn another_text_or_another_key_is_not_believed() {
        let (signer, other) = (signer(), self::signer());
        let note = signer.sign(statement());
        assert!(open(&note, other.verifiers()).is_err());
        for place in (0..note.len()).filter(|place| note.is_char_boundary(*place) && note.is_char_boundary(place + 1)) {
            let change = if note.as_bytes()[place] == b'1' { "2" } else { "1" };
            let changed = format!("{}{change}{}", &note[..place], &note[place + 1..]);
            assert!(open(&changed, signer.verifiers()).is_err(), "byte {place}: {changed}");
        }
    }

    #[test]
    fn a_checkpoint_of_one_log_is_none_of_the_other() {
        let signer = signer();
        let note = signer.sign(statement());
        let of_trail = signer.sign(Statement { log: Log::Trail, ..statement() });
        assert_eq!(open(&of_trail, signer.verifiers()).unwrap().log, Log::Trail);
        for (note, from, to) in [(&note, "events", "trail"), (&of_trail, "trail", "events")] {
            assert!(open(&note.replace(from, to), signer.verifiers()).is_err());
            assert!(open(&note.replacen(from, to, 1), signer.verifiers()).is_err());
        }
    }

    #[test]
    fn keys_that_do_not_fit_their_id_are_refused() {
        let text = signer().verifiers()[0].text_for(Log::Events);
        for wrong in ["", "directpay/events", "directpay/events+00000000+AQ==", &text.replace("events+", "events+0")] {
            assert!(wrong.parse::<Verifier>().is_err(), "{wrong}");
        }
    }
}
