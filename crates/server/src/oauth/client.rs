//! Which program is asking: one that can keep a secret proves it (RFC 6749, section 2.3), another says its name.

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use directpay_domain::id::OAuthClientId;
use directpay_domain::oauth::{ClientKind, SecretKind};
use directpay_store::Tx;
use directpay_store::oauth::clients::{self, Client};

use super::{OAuthError, hash_of};
use crate::app::App;

/// What a program says of itself, in the header or in the form.
#[derive(Debug)]
pub struct Claim {
    id: OAuthClientId,
    secret: Option<String>,
}

impl Claim {
    /// Reads it; two ways at once are refused, because they may not agree.
    pub fn read(headers: &HeaderMap, id: Option<&str>, secret: Option<&str>) -> Result<Claim, OAuthError> {
        let mut headers = headers.get_all(AUTHORIZATION).iter();
        let Some(header) = headers.next() else {
            let id = id.ok_or(OAuthError::InvalidClient)?;
            return Ok(Claim { id: parse_id(id)?, secret: secret.map(str::to_owned) });
        };
        if headers.next().is_some() || secret.is_some() {
            return Err(OAuthError::InvalidRequest("prove who you are in one way only"));
        }
        let (named, secret) = header.to_str().ok().and_then(read_basic).ok_or(OAuthError::InvalidClient)?;
        if id.is_some_and(|id| id != named) {
            return Err(OAuthError::InvalidRequest("client_id is not the one of the header"));
        }
        Ok(Claim { id: parse_id(&named)?, secret: Some(secret) })
    }

    /// The program, if it is the one that it says.
    pub async fn verify(&self, app: &App, tx: &mut Tx) -> Result<Client, OAuthError> {
        let client = clients::find(tx, self.id).await?;
        self.judge(app, tx, client).await
    }

    /// The same; its row is held until the transaction ends, so that it gets nothing while it is deleted.
    pub async fn hold(&self, app: &App, tx: &mut Tx) -> Result<Client, OAuthError> {
        let client = clients::hold(tx, self.id).await?;
        self.judge(app, tx, client).await
    }

    async fn judge(&self, app: &App, tx: &mut Tx, client: Option<Client>) -> Result<Client, OAuthError> {
        let client = client.ok_or(OAuthError::InvalidClient)?;
        let is_proven = match (client.kind, &self.secret) {
            (ClientKind::Public, secret) => secret.is_none(),
            (ClientKind::Confidential, None) => false,
            (ClientKind::Confidential, Some(secret)) => match hash_of(&app.vault, SecretKind::Client, secret) {
                Some(hash) => clients::has_secret(tx, client.id, &hash).await?,
                None => false,
            },
        };
        if is_proven { Ok(client) } else { Err(OAuthError::InvalidClient) }
    }
}

fn parse_id(text: &str) -> Result<OAuthClientId, OAuthError> {
    text.parse().map_err(|_| OAuthError::InvalidClient)
}

/// Name and secret of a header, both in the form of a form.
fn read_basic(header: &str) -> Option<(String, String)> {
    let (scheme, encoded) = header.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = String::from_utf8(BASE64.decode(encoded.trim()).ok()?).ok()?;
    let (name, secret) = decoded.split_once(':')?;
    let plain = |text: &str| {
        let mut pairs = serde_urlencoded::from_str::<Vec<(String, String)>>(&format!("v={text}")).ok()?.into_iter();
        pairs.next().map(|(_, value)| value)
    };
    Some((plain(name)?, plain(secret)?))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;
    use rstest::rstest;

    use super::*;

    const ID: &str = "01890000-0000-7000-8000-000000000000";

    fn with(header: &str) -> HeaderMap {
        HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::from_str(header).unwrap())])
    }

    #[test]
    fn name_and_secret_are_read_from_header_or_form() {
        let basic = format!("basic {}", BASE64.encode(format!("{ID}:dp%5Fcs")));
        let header = Claim::read(&with(&basic), None, None).unwrap();
        assert_eq!((header.id.to_string(), header.secret), (ID.to_owned(), Some("dp_cs".to_owned())));
        let form = Claim::read(&HeaderMap::new(), Some(ID), Some("dp_cs")).unwrap();
        assert_eq!((form.id.to_string(), form.secret), (ID.to_owned(), Some("dp_cs".to_owned())));
        assert_eq!(Claim::read(&HeaderMap::new(), Some(ID), None).unwrap().secret, None);
    }

    #[rstest]
    #[case("Bearer x", None, None, false)]
    #[case("Basic", None, None, false)]
    #[case("Basic ?", None, None, false)]
    #[case("Basic bm9ib2R5", None, None, false)]
    #[case("Basic bm9ib2R5Og==", None, None, false)]
    #[case("Basic MDE4OTAwMDAtMDAwMC03MDAwLTgwMDAtMDAwMDAwMDAwMDAwOng=", None, Some("x"), true)]
    #[case("Basic MDE4OTAwMDAtMDAwMC03MDAwLTgwMDAtMDAwMDAwMDAwMDAwOng=", Some("other"), None, true)]
    fn what_proves_nothing_is_refused(
        #[case] header: &str,
        #[case] id: Option<&str>,
        #[case] secret: Option<&str>,
        #[case] is_contradiction: bool,
    ) {
        let refused = Claim::read(&with(header), id, secret).unwrap_err();
        assert_eq!(matches!(refused, OAuthError::InvalidRequest(_)), is_contradiction, "{refused:?}");
        assert!(matches!(Claim::read(&HeaderMap::new(), None, secret), Err(OAuthError::InvalidClient)));
    }
}
