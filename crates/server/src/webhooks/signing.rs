//! Signatures as Standard Webhooks has them: `v1` by a secret that both sides hold, `v1a` by a key of which the receiver holds
//! the public half only.

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use directpay_domain::id::WebhookId;
use directpay_store::SealedText;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::clock::{self, NoRandomness};
use crate::secrets::{Vault, VaultError};

/// What they are sealed for.
pub(crate) const PURPOSE: &str = "webhook";
/// Bytes of each of the two secrets.
const SECRET_BYTES: usize = 32;

/// What signs for one webhook. It is shown once, and kept sealed.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Secret {
    shared: [u8; SECRET_BYTES],
    seed: [u8; SECRET_BYTES],
}

impl Secret {
    /// A fresh one.
    pub fn draw() -> Result<Secret, NoRandomness> {
        Ok(Secret { shared: clock::random_bytes()?, seed: clock::random_bytes()? })
    }

    /// Sealed so that it can be opened only in the row of webhook `id`.
    pub fn seal(&self, vault: &Vault, id: WebhookId) -> Result<SealedText, VaultError> {
        let mut bytes = [self.shared, self.seed].concat();
        let sealed = vault.seal_for(PURPOSE, id.0, &bytes);
        bytes.zeroize();
        sealed
    }

    /// Opens what signs for webhook `id`.
    pub fn open(vault: &Vault, id: WebhookId, sealed: &SealedText) -> Result<Secret, VaultError> {
        let mut bytes = vault.open_for(PURPOSE, id.0, sealed)?;
        let secret = Secret::from_bytes(&bytes);
        bytes.zeroize();
        secret.ok_or(VaultError::Unopenable)
    }

    fn from_bytes(bytes: &[u8]) -> Option<Secret> {
        let (shared, seed) = bytes.split_at_checked(SECRET_BYTES)?;
        Some(Secret { shared: shared.try_into().ok()?, seed: seed.try_into().ok()? })
    }

    /// What the receiver verifies `v1` by.
    pub fn shared_text(&self) -> String {
        format!("whsec_{}", BASE64.encode(self.shared))
    }

    /// What the receiver verifies `v1a` by; no secret.
    pub fn public_text(&self) -> String {
        self.pair().map(|pair| format!("whpk_{}", BASE64.encode(pair.public_key()))).unwrap_or_default()
    }

    fn pair(&self) -> Option<Ed25519KeyPair> {
        // Any seed of this length is one.
        Ed25519KeyPair::from_seed_unchecked(&self.seed).ok()
    }

    /// Both signatures of a message.
    fn sign(&self, message: &[u8]) -> String {
        let shared = hmac(&self.shared, message);
        match self.pair() {
            Some(pair) => format!("v1,{} v1a,{}", BASE64.encode(shared), BASE64.encode(pair.sign(message))),
            None => format!("v1,{}", BASE64.encode(shared)),
        }
    }
}

fn hmac(key: &[u8], message: &[u8]) -> Vec<u8> {
    // A key of any length is accepted.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return Vec::new() };
    mac.update(message);
    mac.finalize().into_bytes().to_vec()
}

/// The header `webhook-signature`: those of every secret that holds now, newest first.
pub fn signatures(secrets: &[Secret], id: &str, timestamp: i64, body: &str) -> String {
    let message = format!("{id}.{timestamp}.{body}");
    let all = secrets.iter().map(|secret| secret.sign(message.as_bytes()));
    all.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
    use rstest::rstest;

    use super::*;

    /// The message of the published examples.
    const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
    const TIMESTAMP: i64 = 1_614_265_330;
    const BODY: &str = r#"{"test": 2432232314}"#;

    fn message() -> Vec<u8> {
        format!("{ID}.{TIMESTAMP}.{BODY}").into_bytes()
    }

    #[test]
    fn the_published_example_of_the_shared_secret() {
        let key = BASE64.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();

        assert_eq!(BASE64.encode(hmac(&key, &message())), "g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn the_published_example_of_the_key_pair() {
        let both = BASE64
            .decode("6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg==")
            .unwrap();
        let secret = Secret::from_bytes(&[[0; 32].as_slice(), &both[..32]].concat()).unwrap();

        assert_eq!(secret.public_text(), "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4=");
        let signed = signatures(&[secret], ID, TIMESTAMP, BODY);
        let expected = "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg==";
        assert_eq!(signed.split(' ').nth(1), Some(expected));
    }

    #[test]
    fn every_secret_signs_and_what_was_sealed_is_the_same() {
        let (old, new) = (Secret::draw().unwrap(), Secret::draw().unwrap());
        let again = Secret::from_bytes(&[new.shared, new.seed].concat()).unwrap();

        assert_eq!((again.shared_text(), again.public_text()), (new.shared_text(), new.public_text()));
        let both = signatures(&[new.clone(), old.clone()], ID, TIMESTAMP, BODY);
        let each = [signatures(&[new], ID, TIMESTAMP, BODY), signatures(&[old], ID, TIMESTAMP, BODY)];
        assert_eq!(both, each.join(" "));
        assert!(Secret::from_bytes(&[0; 63]).is_none() && Secret::from_bytes(&[0; 65]).is_none());
    }

    #[rstest]
    #[case(ID, TIMESTAMP, BODY, true)]
    #[case("msg_another", TIMESTAMP, BODY, false)]
    #[case(ID, TIMESTAMP + 1, BODY, false)]
    #[case(ID, TIMESTAMP, r#"{"test": 2432232315}"#, false)]
    fn a_changed_message_does_not_verify(
        #[case] id: &str,
        #[case] timestamp: i64,
        #[case] body: &str,
        #[case] holds: bool,
    ) {
        let secret = Secret::draw().unwrap();
        let signed = signatures(std::slice::from_ref(&secret), ID, TIMESTAMP, BODY);

        assert_eq!(signed == signatures(std::slice::from_ref(&secret), id, timestamp, body), holds);
        let signature = BASE64.decode(signed.split_once("v1a,").unwrap().1).unwrap();
        let public = BASE64.decode(secret.public_text().strip_prefix("whpk_").unwrap()).unwrap();
        let message = format!("{id}.{timestamp}.{body}");
        let verified = UnparsedPublicKey::new(&ED25519, public).verify(message.as_bytes(), &signature);
        assert_eq!(verified.is_ok(), holds);
    }
}
