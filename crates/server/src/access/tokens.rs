//! Access tokens: JSON Web Tokens signed with Ed25519, good for 15 minutes.

use directpay_domain::id::UserId;
use directpay_domain::time::SECOND_US;
use directpay_domain::user::Role;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, decode_header, encode};
use quick_cache::sync::Cache;
use uuid::Uuid;

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
    /// The first signs.
    keys: Vec<(String, DecodingKey)>,
    signer: (String, EncodingKey),
    validation: Validation,
    /// Verifying a signature costs more than all else about a small request; the same token comes again and again.
    verified: Cache<String, (Identity, i64)>,
}

/// A token could not be signed.
#[derive(Debug, thiserror::Error)]
#[error("an access token could not be signed")]
pub struct Unsigned(#[from] jsonwebtoken::errors::Error);

impl Tokens {
    /// Signs with the first key, verifies with all.
    pub fn new(keys: &[SigningKey]) -> anyhow::Result<Tokens> {
        let first = keys.first().ok_or_else(|| anyhow::anyhow!("no signing key"))?;
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.set_audience(&[AUDIENCE]);
        validation.set_issuer(&[ISSUER]);
        validation.set_required_spec_claims(&["exp", "aud", "iss", "sub"]);
        // Expiry is compared with our own clock, to the second.
        validation.validate_exp = false;
        Ok(Tokens {
            keys: keys.iter().map(|key| (key.id.clone(), DecodingKey::from_ed_der(&key.public))).collect(),
            signer: (first.id.clone(), EncodingKey::from_ed_der(&first.pkcs8)),
            validation,
            verified: Cache::new(REMEMBERED_MAX),
        })
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
        let (id, key) = &self.signer;
        let header = Header { kid: Some(id.clone()), ..Header::new(Algorithm::EdDSA) };
        Ok(encode(&header, &claims, key)?)
    }

    /// Who `token` speaks for; nobody if it is forged, expired or meant for others.
    pub fn verify(&self, token: &str, now_us: i64) -> Option<Identity> {
        let (identity, expires) = match self.verified.get(token) {
            Some(known) => known,
            None => {
                let fresh = self.check(token)?;
                self.verified.insert(token.to_owned(), fresh);
                fresh
            }
        };
        (now_us / SECOND_US < expires).then_some(identity)
    }

    fn check(&self, token: &str) -> Option<(Identity, i64)> {
        let header = decode_header(token).ok()?;
        let kid = header.kid?;
        let (_, key) = self.keys.iter().find(|(id, _)| *id == kid)?;
        let claims = decode::<Claims>(token, key, &self.validation).ok()?.claims;
        let identity = Identity { user_id: UserId(claims.sub), role: claims.role, session: claims.sid };
        Some((identity, claims.exp))
    }
}
