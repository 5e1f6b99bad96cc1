//! Access tokens: JSON Web Tokens signed with Ed25519, good for 15 minutes.

use std::sync::atomic::{AtomicU64, Ordering};

use directpay_domain::id::UserId;
use directpay_domain::time::SECOND_US;
use directpay_domain::user::Role;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, decode_header, encode};
use quick_cache::sync::Cache;
use uuid::Uuid;

use crate::replaceable::Replaceable;
use crate::secrets::SigningKey;

/// How long an access token is good.
pub const ACCESS_SECONDS: i64 = 15 * 60;
/// Verified tokens that are remembered; each takes about half a KiB.
const REMEMBERED_MAX: usize = 20_000;

const ISSUER: &str = "directpay";
const AUDIENCE: &str = "directpay-api";

/// Who is calling.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// Who.
    pub user_id: UserId,
    /// What the person may do.
    pub role: Role,
    /// The sign-in that the token came from.
    pub session: Uuid,
}

#[derive(serde::Serialize, serde::Deserialize)]
struct Claims {
    iss: String,
    aud: String,
    sub: Uuid,
    role: Role,
    sid: Uuid,
    iat: i64,
    exp: i64,
}

/// Signs and verifies access tokens.
pub struct Tokens {
    keys: Replaceable<TokenKeys>,
    /// That of the keys, where it is read without taking them.
    generation: AtomicU64,
    validation: Validation,
    /// Verifying a signature costs more than all else about a small request; the same token comes again and again. What was
    /// verified by the keys of another generation does not count.
    verified: Cache<String, Verified>,
}

#[derive(Clone, Copy)]
struct Verified {
    identity: Identity,
    expires: i64,
    generation: u64,
}

struct TokenKeys {
    verifiers: Vec<Verifier>,
    signer: (String, EncodingKey),
    /// Names of keys that are over, whatever the file says.
    retired: Vec<String>,
    /// Grows when a key is taken away.
    generation: u64,
}

/// The public half of a key.
#[derive(Clone)]
struct Verifier {
    id: String,
    public: Vec<u8>,
    key: DecodingKey,
}

impl TokenKeys {
    fn new(keys: &[SigningKey], retired: Vec<String>, generation: u64) -> anyhow::Result<TokenKeys> {
        let lives = |key: &&SigningKey| !retired.contains(&key.id);
        // Where none is left it signs what nobody accepts: better than to accept what a thief signs.
        let first = keys.iter().find(lives).or(keys.first()).ok_or_else(|| anyhow::anyhow!("no signing key"))?;
        let verifier = |key: &SigningKey| Verifier {
            id: key.id.clone(),
            public: key.public.clone(),
            key: DecodingKey::from_ed_der(&key.public),
        };
        Ok(TokenKeys {
            verifiers: keys.iter().filter(lives).map(verifier).collect(),
            signer: (first.id.clone(), EncodingKey::from_ed_der(&first.pkcs8)),
            retired,
            generation,
        })
    }
}

/// A token could not be signed.
#[derive(Debug, thiserror::Error)]
#[error("an access token could not be signed")]
pub struct Unsigned(#[from] jsonwebtoken::errors::Error);

impl Tokens {
    /// Signs with the first key, verifies with all.
    pub fn new(keys: &[SigningKey]) -> anyhow::Result<Tokens> {
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.set_audience(&[AUDIENCE]);
        validation.set_issuer(&[ISSUER]);
        validation.set_required_spec_claims(&["exp", "aud", "iss", "sub"]);
        // Expiry is compared with our own clock, to the second.
        validation.validate_exp = false;
        Ok(Tokens {
            keys: Replaceable::new(TokenKeys::new(keys, Vec::new(), 0)?),
            generation: AtomicU64::new(0),
            validation,
            verified: Cache::new(REMEMBERED_MAX),
        })
    }

    /// Signs and verifies with these keys from now on. Tokens of a key that is not among them are worthless at once.
    pub(crate) fn adopt(&self, keys: &[SigningKey]) -> anyhow::Result<()> {
        let before = self.keys.get();
        let is_there = |old: &Verifier| keys.iter().any(|key| key.id == old.id && key.public == old.public);
        let loses_one = !before.verifiers.iter().all(is_there);
        let generation = before.generation + u64::from(loses_one);
        self.put(TokenKeys::new(keys, before.retired.clone(), generation)?);
        Ok(())
    }

    /// Accepts nothing that keys of these names have signed, from now on and whatever is adopted. Says whether that changes
    /// anything; what signs then comes with the next keys that are adopted.
    pub(crate) fn end(&self, retired: &[String]) -> bool {
        let before = self.keys.get();
        if retired.iter().all(|id| before.retired.contains(id)) {
            return false;
        }
        let lives = |key: &&Verifier| !retired.contains(&key.id);
        let verifiers: Vec<_> = before.verifiers.iter().filter(lives).cloned().collect();
        let new = retired.iter().filter(|id| !before.retired.contains(id));
        let retired = before.retired.iter().chain(new).cloned().collect();
        let signer = before.signer.clone();
        self.put(TokenKeys { verifiers, signer, retired, generation: before.generation + 1 });
        true
    }

    /// In this order: whoever still verifies by the keys of before remembers it under their generation.
    fn put(&self, keys: TokenKeys) {
        let generation = keys.generation;
        self.keys.set(keys);
        self.generation.store(generation, Ordering::Release);
    }

    /// The name of the key that signs.
    pub(crate) fn signing_key(&self) -> String {
        self.keys.get().signer.0.clone()
    }

    /// The public halves of all keys, with their names.
    pub fn public_keys(&self) -> Vec<(String, Vec<u8>)> {
        self.keys.get().verifiers.iter().map(|key| (key.id.clone(), key.public.clone())).collect()
    }

    /// A token for `identity`, good for [`ACCESS_SECONDS`] from `now_us`.
    pub fn sign(&self, identity: Identity, now_us: i64) -> Result<String, Unsigned> {
        let now = now_us / SECOND_US;
        let claims = Claims {
            iss: ISSUER.into(),
            aud: AUDIENCE.into(),
            sub: identity.user_id.0,
            role: identity.role,
            sid: identity.session,
            iat: now,
            exp: now + ACCESS_SECONDS,
        };
        let keys = self.keys.get();
        let (id, key) = &keys.signer;
        let header = Header { kid: Some(id.clone()), ..Header::new(Algorithm::EdDSA) };
        Ok(encode(&header, &claims, key)?)
    }

    /// Who `token` speaks for; nobody if it is forged, expired or meant for others.
    pub fn verify(&self, token: &str, now_us: i64) -> Option<Identity> {
        let known = self.verified.get(token);
        let is_current = |known: &Verified| known.generation == self.generation.load(Ordering::Acquire);
        let Verified { identity, expires, .. } = match known.filter(is_current) {
            Some(known) => known,
            None => {
                let fresh = self.check(token)?;
                self.verified.insert(token.to_owned(), fresh);
                fresh
            }
        };
        (now_us / SECOND_US < expires).then_some(identity)
    }

    fn check(&self, token: &str) -> Option<Verified> {
        let header = decode_header(token).ok()?;
        let kid = header.kid?;
        let keys = self.keys.get();
        let Verifier { key, .. } = keys.verifiers.iter().find(|key| key.id == kid)?;
        let claims = decode::<Claims>(token, key, &self.validation).ok()?.claims;
        let identity = Identity { user_id: UserId(claims.sub), role: claims.role, session: claims.sid };
        Some(Verified { identity, expires: claims.exp, generation: keys.generation })
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
    use directpay_domain::id::UserId;

    use super::*;
    use crate::clock;

    fn key(id: &str) -> SigningKey {
        let pkcs8 = Ed25519KeyPair::generate_pkcs8(&aws_lc_rs::rand::SystemRandom::new()).unwrap();
        let pair = Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).unwrap();
        SigningKey { id: id.into(), pkcs8: pkcs8.as_ref().to_vec(), public: pair.public_key().as_ref().to_vec() }
    }

    #[test]
    fn a_retired_key_verifies_nothing_even_where_the_file_still_has_it() {
        let (old, new) = (key("sig-1"), key("sig-2"));
        let both = [old.clone(), new];
        let tokens = Tokens::new(&both).unwrap();
        let identity = Identity { user_id: UserId(clock::new_id()), role: Role::Renter, session: clock::new_id() };
        let stolen = tokens.sign(identity, 0).unwrap();
        assert_eq!(tokens.verify(&stolen, 0), Some(identity));
        assert!(tokens.end(&["sig-1".to_owned()]) && !tokens.end(&["sig-1".to_owned()]));
        assert_eq!(tokens.verify(&stolen, 0), None, "at once");
        tokens.adopt(&both).unwrap();
        assert_eq!((tokens.verify(&stolen, 0), tokens.signing_key()), (None, "sig-2".to_owned()));
        assert_eq!(tokens.verify(&tokens.sign(identity, 0).unwrap(), 0), Some(identity));
        tokens.adopt(std::slice::from_ref(&old)).unwrap();
        assert_eq!(tokens.verify(&tokens.sign(identity, 0).unwrap(), 0), None, "it has no other");
    }

    #[test]
    fn tokens_of_a_key_are_good_until_it_is_gone() {
        let (old, new) = (key("sig-1"), key("sig-2"));
        let tokens = Tokens::new(std::slice::from_ref(&old)).unwrap();
        let identity = Identity { user_id: UserId(clock::new_id()), role: Role::Renter, session: clock::new_id() };
        let first = tokens.sign(identity, 0).unwrap();
        assert_eq!(tokens.verify(&first, 0), Some(identity));
        // Introduced, then used.
        tokens.adopt(&[old.clone(), new.clone()]).unwrap();
        let second = tokens.sign(identity, 0).unwrap();
        assert_eq!(decode_header(&second).unwrap().kid.unwrap(), "sig-1");
        tokens.adopt(&[new.clone(), old]).unwrap();
        let third = tokens.sign(identity, 0).unwrap();
        assert_eq!(decode_header(&third).unwrap().kid.unwrap(), "sig-2");
        for token in [&first, &second, &third] {
            assert_eq!(tokens.verify(token, 0), Some(identity));
            assert_eq!(tokens.verify(token, ACCESS_SECONDS * SECOND_US), None);
        }
        // Gone: what is remembered of its tokens does not count.
        tokens.adopt(&[new]).unwrap();
        assert_eq!([&first, &second, &third].map(|token| tokens.verify(token, 0)), [None, None, Some(identity)]);
    }
}
