//! Programs of others that act for people who let them (OAuth 2.0): what they are, and how their secrets are written.

use core::net::Ipv4Addr;
use std::fmt;

use crate::api_key::{ApiKeySecret, checked, is_checked};
use crate::invalid::Invalid;
use crate::names::names;

/// Whether a program can keep a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientKind {
    /// It runs on a server: it proves who it is by a secret.
    Confidential,
    /// It runs with its users, where everything that it has can be read.
    Public,
}

names!(ClientKind { Confidential = "CONFIDENTIAL", Public = "PUBLIC" });

/// A way to an access token, as the token endpoint names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grant {
    /// A person lets the program in by a browser.
    AuthorizationCode,
    /// And it stays, without asking again.
    RefreshToken,
    /// It acts for its own owner.
    ClientCredentials,
}

names!(Grant {
    AuthorizationCode = "authorization_code",
    RefreshToken = "refresh_token",
    ClientCredentials = "client_credentials",
});

/// The ways that one program may go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grants {
    // Invariant: at least one, each once, in the order of `Grant::ALL`; no refresh token without an authorization code.
    grants: Vec<Grant>,
}

impl Grants {
    /// Reads their names: `required`, `unknown`, `duplicate`, or `unfit` where they do not go together.
    pub fn parse<T: AsRef<str>>(names: &[T]) -> Result<Grants, Invalid> {
        let named = names.iter().map(|name| Grant::parse(name.as_ref())).collect::<Result<Vec<_>, _>>()?;
        let grants: Vec<_> = Grant::ALL.into_iter().filter(|grant| named.contains(grant)).collect();
        if grants.is_empty() {
            return Err(Invalid::new("required", "must name at least one grant"));
        }
        if grants.len() < named.len() {
            return Err(Invalid::new("duplicate", "must name each grant once"));
        }
        if grants.contains(&Grant::RefreshToken) && !grants.contains(&Grant::AuthorizationCode) {
            return Err(Invalid::new("unfit", "refresh_token goes with authorization_code only"));
        }
        Ok(Grants { grants })
    }

    /// Reads them as they are stored.
    pub fn from_text(text: &str) -> Result<Grants, Invalid> {
        Grants::parse(&text.split(' ').collect::<Vec<_>>())
    }

    /// As they are stored: their names with a space between.
    pub fn to_text(&self) -> String {
        self.names().join(" ")
    }

    /// Their names.
    pub fn names(&self) -> Vec<&'static str> {
        self.grants.iter().map(|grant| grant.name()).collect()
    }

    /// Whether `grant` is one of them.
    pub fn contains(&self, grant: Grant) -> bool {
        self.grants.contains(&grant)
    }
}

/// Where a browser is sent back to: `https`, or `http` on the machine where the browser runs, for native programs.
///
/// It is compared as it is written, letter by letter. Only of one on the own machine the port is free (RFC 8252, section 7.3):
/// a native program takes the one that it gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedirectUri {
    text: String,
    /// Where its port stands in `text`, if it leads to the own machine.
    loopback: Option<Loopback>,
    // Invariant: of what the RFC allows in a URI only what needs no care anywhere; scheme and host in lower case.
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Loopback {
    /// The end of the host.
    host_end: usize,
    /// The end of the port, or of the host without one.
    port_end: usize,
}

impl RedirectUri {
    /// The most characters.
    pub const LENGTH_MAX: usize = 1024;

    /// Reads one: `too_long`, `malformed`, or `insecure` where anybody on the way could read what is sent there.
    pub fn parse(text: &str) -> Result<RedirectUri, Invalid> {
        if RedirectUri::LENGTH_MAX < text.len() {
            return Err(Invalid::new("too_long", "must have at most 1024 characters"));
        }
        let malformed =
            || Invalid::new("malformed", "must be an absolute https URI without fragment, wildcard or user name");
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:/?[]@!$&()+,;=%".contains(&byte);
        if !text.bytes().all(is_plain) || !is_percent_encoded(text) {
            return Err(malformed());
        }
        let (scheme, rest) = text.split_once("://").ok_or_else(malformed)?;
        let authority = rest.split(['/', '?']).next().unwrap_or_default();
        let (host, port) = split_port(authority).ok_or_else(malformed)?;
        if !port.is_none_or(is_port) {
            return Err(malformed());
        }
        let before_host = scheme.len() + "://".len();
        match scheme {
            "https" if is_name(host) => Ok(RedirectUri { text: text.to_owned(), loopback: None }),
            "http" if ["127.0.0.1", "[::1]", "localhost"].contains(&host) => {
                let loopback = Loopback { host_end: before_host + host.len(), port_end: before_host + authority.len() };
                Ok(RedirectUri { text: text.to_owned(), loopback: Some(loopback) })
            }
            "http" if is_name(host) => {
                Err(Invalid::new("insecure", "must begin with https://, or http:// on 127.0.0.1, [::1] or localhost"))
            }
            _ => Err(malformed()),
        }
    }

    /// As it is written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Scheme, host and port.
    pub fn origin(&self) -> &str {
        let after_scheme = self.text.find("://").map_or(0, |at| at + "://".len());
        let rest = self.text.get(after_scheme..).unwrap_or_default();
        let length = rest.find(['/', '?']).unwrap_or(rest.len());
        self.text.get(..after_scheme + length).unwrap_or_default()
    }

    /// Whether it leads to a host that is written as an IPv6 address.
    pub fn is_bracketed(&self) -> bool {
        self.text.contains("//[")
    }

    /// Whether a browser may be sent to `asked` where this one was registered.
    pub fn admits(&self, asked: &RedirectUri) -> bool {
        match (self.without_port(), asked.without_port()) {
            (Some(own), Some(asked)) => own == asked,
            (Some(_), None) | (None, Some(_)) => false,
            (None, None) => self.text == asked.text,
        }
    }

    fn without_port(&self) -> Option<(&str, &str)> {
        let Loopback { host_end, port_end } = self.loopback?;
        Some((self.text.get(..host_end)?, self.text.get(port_end..)?))
    }
}

/// Where browsers may be sent back to by one program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedirectUris {
    // Invariant: at most `COUNT_MAX`, each once.
    uris: Vec<RedirectUri>,
}

impl RedirectUris {
    /// The most of one program.
    pub const COUNT_MAX: usize = 10;

    /// Reads them: `too_many`, `duplicate`, or what is wrong with one of them.
    pub fn parse<T: AsRef<str>>(texts: &[T]) -> Result<RedirectUris, Invalid> {
        if RedirectUris::COUNT_MAX < texts.len() {
            return Err(Invalid::new("too_many", "must be at most 10"));
        }
        let mut uris: Vec<RedirectUri> = Vec::with_capacity(texts.len());
        for text in texts {
            let uri = RedirectUri::parse(text.as_ref())?;
            if uris.contains(&uri) {
                return Err(Invalid::new("duplicate", "must name each once"));
            }
            uris.push(uri);
        }
        Ok(RedirectUris { uris })
    }

    /// Reads them as they are stored.
    pub fn from_text(text: &str) -> Result<RedirectUris, Invalid> {
        RedirectUris::parse(&text.split_terminator(' ').collect::<Vec<_>>())
    }

    /// As they are stored: with a space between, which none of them holds.
    pub fn to_text(&self) -> String {
        self.texts().join(" ")
    }

    /// As they are written.
    pub fn texts(&self) -> Vec<&str> {
        self.uris.iter().map(RedirectUri::as_str).collect()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.uris.is_empty()
    }

    /// Whether a browser may be sent to `asked`.
    pub fn admit(&self, asked: &RedirectUri) -> bool {
        self.uris.iter().any(|uri| uri.admits(asked))
    }
}

/// Host and port of an authority without a user name.
fn split_port(authority: &str) -> Option<(&str, Option<&str>)> {
    let host_end = if authority.starts_with('[') {
        authority.find(']')? + 1
    } else {
        authority.find(':').unwrap_or(authority.len())
    };
    let (host, rest) = authority.split_at_checked(host_end)?;
    match rest.strip_prefix(':') {
        Some(port) => Some((host, Some(port))),
        None if rest.is_empty() => Some((host, None)),
        None => None,
    }
}

/// Whether each percent sign begins a byte in hexadecimal.
fn is_percent_encoded(text: &str) -> bool {
    let is_byte = |rest: &str| rest.bytes().take(2).filter(u8::is_ascii_hexdigit).count() == 2;
    text.split('%').skip(1).all(is_byte)
}

/// Whether it is a port as everybody writes it: digits, no sign, no zero in front.
fn is_port(port: &str) -> bool {
    port.bytes().all(|byte| byte.is_ascii_digit()) && !port.starts_with('0') && port.parse::<u16>().is_ok()
}

/// Whether it is a name or an address in lower case, as browsers write it. They take whatever ends in a number for an address, in any of
/// the old forms (`127.1`, `0x7f000001`): only the usual one is admitted.
fn is_name(host: &str) -> bool {
    let is_label = |label: &str| {
        let is_part = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        (1..=63).contains(&label.len()) && label.bytes().all(is_part)
    };
    let last = host.rsplit('.').next().unwrap_or_default();
    let is_hex = last.strip_prefix("0x").is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
    let is_number = is_hex || last.bytes().all(|byte| byte.is_ascii_digit());
    // What is read here has four numbers without zeros in front.
    let is_host = !is_number || host.parse::<Ipv4Addr>().is_ok();
    host.len() <= 253 && host.split('.').all(is_label) && is_host
}

/// What a secret of the protocol is for; each kind begins differently, so that none is taken for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecretKind {
    /// A confidential program proves by it who it is.
    Client,
    /// It acts by it.
    AccessToken,
    /// It gets the next access token for it; good once.
    RefreshToken,
    /// It gets the first tokens for it; good once, for a minute.
    Code,
}

impl SecretKind {
    /// What secrets of the kind begin with.
    pub fn prefix(self) -> &'static str {
        match self {
            SecretKind::Client => "dp_cs_",
            SecretKind::AccessToken => "dp_at_",
            SecretKind::RefreshToken => "dp_rt_",
            SecretKind::Code => "dp_ac_",
        }
    }
}

/// A secret of the protocol in full, with check characters as an API key has them. It is shown once, and what is kept of it is a
/// keyed hash. Debug shows nothing of it.
#[derive(Clone, PartialEq, Eq)]
pub struct OAuthSecret {
    kind: SecretKind,
    text: String,
}

impl OAuthSecret {
    /// Bytes that a new one is made of.
    pub const RANDOM_BYTES: usize = ApiKeySecret::RANDOM_BYTES;

    /// The secret that these random bytes make.
    pub fn from_random(kind: SecretKind, random: [u8; OAuthSecret::RANDOM_BYTES]) -> OAuthSecret {
        OAuthSecret { kind, text: checked(kind.prefix(), random) }
    }

    /// Reads one of a kind in full; none if it is mistyped, cut off, made up, or of another kind.
    pub fn parse(kind: SecretKind, text: &str) -> Option<OAuthSecret> {
        is_checked(kind.prefix(), text).then(|| OAuthSecret { kind, text: text.to_owned() })
    }

    /// What it is for.
    pub fn kind(&self) -> SecretKind {
        self.kind
    }

    /// The whole secret: for the one answer that shows it, and for its hash.
    pub fn expose(&self) -> &str {
        &self.text
    }

    /// The last four characters, by which its owner tells it from others.
    pub fn last4(&self) -> &str {
        // They are ASCII and longer.
        self.text.get(self.text.len().saturating_sub(4)..).unwrap_or_default()
    }
}

impl fmt::Debug for OAuthSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}…", self.kind.prefix())
    }
}

/// Whether `text` can be a verifier of RFC 7636: 43 to 128 unreserved characters.
pub fn is_verifier(text: &str) -> bool {
    (43..=128).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte))
}

/// Whether `text` can be the challenge to one by the method S256: a SHA-256 in base 64 of URLs.
pub fn is_challenge(text: &str) -> bool {
    text.len() == 43 && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("https://app.example.com")]
    #[case("https://app.example.com/callback?from=directpay&x=%20")]
    #[case("https://app.example.com:8443/")]
    #[case("https://192.0.2.7/cb")]
    #[case("https://1.example.com/cb")]
    #[case("https://app.example.com/%7Efor%C3%A9t")]
    #[case("http://127.0.0.1/cb")]
    #[case("http://127.0.0.1:49152/cb")]
    #[case("http://[::1]:49152/cb")]
    #[case("http://localhost:3000")]
    fn a_redirect_uri_is_kept_as_it_is_written(#[case] text: &str) {
        assert_eq!(RedirectUri::parse(text).unwrap().as_str(), text);
    }

    #[rstest]
    #[case("", "malformed")]
    #[case("/callback", "malformed")]
    #[case("https:///callback", "malformed")]
    #[case("https://*.example.com/", "malformed")]
    #[case("https://app.example.com/#", "malformed")]
    #[case("https://app.example.com/a b", "malformed")]
    #[case("https://app.example.com/\n", "malformed")]
    #[case("https://app.example.com\\@evil.example/", "malformed")]
    #[case("https://user@app.example.com/", "malformed")]
    #[case("https://app.example.com:0/", "malformed")]
    #[case("https://app.example.com:65536/", "malformed")]
    #[case("https://app.example.com:/", "malformed")]
    #[case("https://app.example.com:+443/", "malformed")]
    #[case("https://app.example.com:0443/", "malformed")]
    #[case("http://127.0.0.1:+80/", "malformed")]
    #[case("https://127.1/", "malformed")]
    #[case("https://2130706433/", "malformed")]
    #[case("https://0x7f000001/", "malformed")]
    #[case("https://127.0.0.0x/", "malformed")]
    #[case("https://127.0.0.01/", "malformed")]
    #[case("https://256.0.0.1/", "malformed")]
    #[case("https://app.example.1/", "malformed")]
    #[case("https://app.example.com/%", "malformed")]
    #[case("https://app.example.com/%2", "malformed")]
    #[case("https://app.example.com/%%20", "malformed")]
    #[case("https://app.example.com/?x=%zz", "malformed")]
    #[case("https://App.example.com/", "malformed")]
    #[case("https://[::1]/", "malformed")]
    #[case("https://app..example.com/", "malformed")]
    #[case("https://b\u{fc}cher.example/", "malformed")]
    #[case("HTTPS://app.example.com/", "malformed")]
    #[case("javascript://app.example.com/%0aalert(1)", "malformed")]
    #[case("com.example.app://callback", "malformed")]
    #[case("http://app.example.com/", "insecure")]
    #[case("http://127.0.0.1.example.com/", "insecure")]
    #[case("http://127.0.0.1@example.com/", "malformed")]
    #[case("http://[::1]x/", "malformed")]
    fn what_is_no_redirect_uri_is_refused(#[case] text: &str, #[case] code: &str) {
        assert_eq!(RedirectUri::parse(text).unwrap_err().code, code);
    }

    #[test]
    fn the_longest_redirect_uri() {
        let of = |length: usize| format!("https://a.example/{}", "x".repeat(length - "https://a.example/".len()));

        assert!(RedirectUri::parse(&of(1024)).is_ok());
        assert_eq!(RedirectUri::parse(&of(1025)).unwrap_err().code, "too_long");
    }

    #[rstest]
    #[case("https://a.example/cb", "https://a.example/cb", true)]
    #[case("https://a.example/cb", "https://a.example/cb/", false)]
    #[case("https://a.example/cb", "https://a.example/cb?x=1", false)]
    #[case("https://a.example/cb", "https://a.example:443/cb", false)]
    #[case("https://a.example/cb", "https://b.a.example/cb", false)]
    #[case("http://127.0.0.1/cb", "http://127.0.0.1:49152/cb", true)]
    #[case("http://127.0.0.1:1/cb", "http://127.0.0.1:2/cb", true)]
    #[case("http://127.0.0.1:1/cb", "http://127.0.0.1:2/cb/", false)]
    #[case("http://127.0.0.1:1/cb", "http://localhost:1/cb", false)]
    #[case("http://[::1]/cb", "http://[::1]:8/cb", true)]
    #[case("https://localhost/cb", "https://localhost:8/cb", false)]
    #[case("http://localhost/cb", "https://localhost/cb", false)]
    fn a_redirect_uri_admits_itself_and_on_the_own_machine_any_port(
        #[case] registered: &str,
        #[case] asked: &str,
        #[case] admitted: bool,
    ) {
        let uri = |text| RedirectUri::parse(text).unwrap();

        assert_eq!(uri(registered).admits(&uri(asked)), admitted);
    }

    #[rstest]
    #[case("https://a.example/cb?x", "https://a.example")]
    #[case("https://a.example:8443?x=/", "https://a.example:8443")]
    #[case("http://127.0.0.1:7", "http://127.0.0.1:7")]
    fn its_origin_is_what_stands_before_the_path(#[case] text: &str, #[case] origin: &str) {
        assert_eq!(RedirectUri::parse(text).unwrap().origin(), origin);
    }

    #[rstest]
    #[case(&[], "required")]
    #[case(&["implicit"], "unknown")]
    #[case(&["client_credentials", "client_credentials"], "duplicate")]
    #[case(&["refresh_token"], "unfit")]
    #[case(&["client_credentials", "refresh_token"], "unfit")]
    fn grants_that_do_not_go_together_are_refused(#[case] names: &[&str], #[case] code: &str) {
        assert_eq!(Grants::parse(names).unwrap_err().code, code);
    }

    #[test]
    fn grants_stand_in_one_order_and_are_read_back() {
        let grants = Grants::parse(&["client_credentials", "authorization_code"]).unwrap();

        assert_eq!(grants.to_text(), "authorization_code client_credentials");
        assert_eq!(Grants::from_text(&grants.to_text()), Ok(grants.clone()));
        assert!(grants.contains(Grant::ClientCredentials) && !grants.contains(Grant::RefreshToken));
    }

    #[test]
    fn a_secret_of_one_kind_is_none_of_another() {
        let secret = OAuthSecret::from_random(SecretKind::AccessToken, [7; 20]);

        assert_eq!(OAuthSecret::parse(SecretKind::AccessToken, secret.expose()), Some(secret.clone()));
        assert_eq!(OAuthSecret::parse(SecretKind::RefreshToken, secret.expose()), None);
        let renamed = secret.expose().replace("dp_at_", "dp_rt_");
        assert_eq!(OAuthSecret::parse(SecretKind::RefreshToken, &renamed), None);
        assert_eq!(ApiKeySecret::parse(secret.expose()), None);
        assert_eq!(format!("{secret:?}"), "dp_at_…");
    }

    #[rstest]
    #[case("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk", true, true)]
    #[case("E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-c", false, false)]
    #[case("E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-c.~", true, false)]
    #[case("E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw+cM", false, false)]
    fn verifiers_and_challenges_have_their_form(#[case] text: &str, #[case] verifier: bool, #[case] challenge: bool) {
        assert_eq!((is_verifier(text), is_challenge(text)), (verifier, challenge));
    }
}
