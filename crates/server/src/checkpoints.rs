//! Signed roots of the log's tree as text: the checkpoint of a transparency log in a signed note, by the C2SP specifications
//! `tlog-checkpoint` and `signed-note`. Anybody verifies one with a public key and no part of DirectPay.

use std::fmt;
use std::str::FromStr;

use anyhow::Context;
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use directpay_domain::digest::Digest;
use directpay_domain::time::Instant;
use sha2::{Digest as _, Sha256};

use crate::secrets::SigningKey;

/// Which log it is, and whose signature.
const NAME: &str = "directpay/events";
/// Ed25519, in the specification.
const ALGORITHM: u8 = 1;

/// What a checkpoint says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Statement {
    /// How many events there were.
    pub size: i64,
    /// The root of the tree over them.
    pub root: Digest,
    /// When it was said, in process time.
    pub made_at: Instant,
}

impl Statement {
    fn to_text(self) -> String {
        format!("{NAME}\n{}\n{}\nmade at {}\n", self.size, BASE64.encode(self.root.0), self.made_at)
    }

    fn parse(text: &str) -> Option<Statement> {
        let mut lines = text.lines();
        let (name, size, root) = (lines.next()?, lines.next()?, lines.next()?);
        let made_at = lines.next()?.strip_prefix("made at ")?;
        let root = Digest::from_bytes(&BASE64.decode(root).ok()?).ok()?;
        let statement = Statement { size: size.parse().ok()?, root, made_at: made_at.parse().ok()? };
        // One form only, so that nothing is signed that is not read.
        (name == NAME && statement.to_text() == text).then_some(statement)
    }
}

/// A public key, written as `NAME+ID+KEY`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verifier {
    public: Vec<u8>,
}

impl Verifier {
    /// The first bytes of each of its signatures.
    fn id(&self) -> [u8; 4] {
        let hash =
            Sha256::new().chain_update(NAME).chain_update([b'\n', ALGORITHM]).chain_update(&self.public).finalize();
        let [a, b, c, d, ..]: [u8; 32] = hash.into();
        [a, b, c, d]
    }

    fn signed(&self, text: &str, signature: &[u8]) -> bool {
        signature.strip_prefix(&self.id()).is_some_and(|signature| {
            UnparsedPublicKey::new(&ED25519, &self.public).verify(text.as_bytes(), signature).is_ok()
        })
    }
}

impl fmt::Display for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = [&[ALGORITHM], self.public.as_slice()].concat();
        write!(f, "{NAME}+{:08x}+{}", u32::from_be_bytes(self.id()), BASE64.encode(key))
    }
}

impl FromStr for Verifier {
    type Err = anyhow::Error;
    fn from_str(text: &str) -> anyhow::Result<Verifier> {
        let key = text.trim().strip_prefix(NAME).and_then(|rest| rest.strip_prefix('+')?.split_once('+'));
        let (_, key) = key.context("a public key of checkpoints begins with directpay/events+")?;
        let bytes = BASE64.decode(key).context("the public key is not base64")?;
        let public = bytes.strip_prefix(&[ALGORITHM]).filter(|public| public.len() == 32);
        let verifier = Verifier { public: public.context("the public key is not one of Ed25519")?.to_vec() };
        anyhow::ensure!(verifier.to_string() == text.trim(), "the public key does not fit its own id");
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
        let text = statement.to_text();
        let verifier = Verifier { public: self.pair.public_key().as_ref().to_vec() };
        let signature = [&verifier.id(), self.pair.sign(text.as_bytes()).as_ref()].concat();
        format!("{text}\n\u{2014} {NAME} {}\n", BASE64.encode(signature))
    }
}

/// What a signed text says, if one of the keys has signed it. Signatures of others, such as witnesses, may stand below.
pub fn open(note: &str, verifiers: &[Verifier]) -> anyhow::Result<Statement> {
    let (text, signatures) = note.split_once("\n\n").context("it is not a signed note")?;
    let text = format!("{text}\n");
    let prefix = format!("\u{2014} {NAME} ");
    let ours = signatures.lines().filter_map(|line| BASE64.decode(line.strip_prefix(&prefix)?).ok());
    let is_signed =
        ours.into_iter().any(|signature| verifiers.iter().any(|verifier| verifier.signed(&text, &signature)));
    anyhow::ensure!(is_signed, "none of the known keys has signed it");
    Statement::parse(&text).context("it is signed, but does not say what a checkpoint says")
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
        Statement { size: 300, root: Digest([7; 32]), made_at: Instant::parse("2026-03-01T12:00:00Z").unwrap() }
    }

    #[test]
    fn what_is_signed_is_read_with_the_public_key_alone() {
        let signer = signer();
        let note = signer.sign(statement());
        let verifier: Verifier = signer.verifiers()[0].to_string().parse().unwrap();
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
    fn keys_that_do_not_fit_their_id_are_refused() {
        let text = signer().verifiers()[0].to_string();
        for wrong in ["", "directpay/events", "directpay/events+00000000+AQ==", &text.replace("events+", "events+0")] {
            assert!(wrong.parse::<Verifier>().is_err(), "{wrong}");
        }
    }
}
