//! Where DirectPay may send to: public addresses, and networks that its operator has named.
//!
//! Whoever makes a webhook chooses where this server connects to. Without a limit that would reach what only this server can
//! reach: itself, its database, its neighbours, and what clouds tell their machines about themselves.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use directpay_domain::invalid::Invalid;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use reqwest::Url;

use crate::config::parse_network;

/// The longest address of a webhook.
pub const URL_BYTES_MAX: usize = 2_048;

const fn v4(a: u8, b: u8, c: u8, d: u8, length: u8) -> IpNet {
    IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), length))
}

const fn v6(head: [u16; 3], length: u8) -> IpNet {
    let [a, b, c] = head;
    IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0), length))
}

/// What is not for everybody, of version 4; by IANA's registry of special addresses, and one of a cloud that looks like any other.
const SPECIAL_V4: [IpNet; 16] = [
    // This network; what begins with it means this machine.
    v4(0, 0, 0, 0, 8),
    v4(10, 0, 0, 0, 8),
    // Behind a provider's translation; and what one cloud tells its machines, 100.100.100.200.
    v4(100, 64, 0, 0, 10),
    v4(127, 0, 0, 0, 8),
    // Link-local; what most clouds tell their machines, 169.254.169.254.
    v4(169, 254, 0, 0, 16),
    v4(172, 16, 0, 0, 12),
    // The IETF's own; what another cloud tells, 192.0.0.192.
    v4(192, 0, 0, 0, 24),
    // Documentation, three times.
    v4(192, 0, 2, 0, 24),
    v4(198, 51, 100, 0, 24),
    v4(203, 0, 113, 0, 24),
    // Relays from 6 to 4, which are no more.
    v4(192, 88, 99, 0, 24),
    v4(192, 168, 0, 0, 16),
    // Benchmarks.
    v4(198, 18, 0, 0, 15),
    // Multicast, and what was kept for later, broadcast included.
    v4(224, 0, 0, 0, 4),
    v4(240, 0, 0, 0, 4),
    // The host below the machines of a cloud.
    v4(168, 63, 129, 16, 32),
];

/// The addresses of version 6 that are given to anybody. Mapped, translated, local and multicast ones lie outside.
const GLOBAL_V6: IpNet = v6([0x2000, 0, 0], 3);

/// What is not for everybody within it.
const SPECIAL_V6: [IpNet; 4] = [
    // The IETF's own: Teredo, benchmarks, identifiers.
    v6([0x2001, 0, 0], 23),
    v6([0x2001, 0x0DB8, 0], 32),
    // Version 4 within version 6.
    v6([0x2002, 0, 0], 16),
    v6([0x3FFF, 0, 0], 20),
];

/// Whether an address belongs to the public internet.
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(_) => !SPECIAL_V4.iter().any(|network| network.contains(&address)),
        IpAddr::V6(_) => GLOBAL_V6.contains(&address) && !SPECIAL_V6.iter().any(|network| network.contains(&address)),
    }
}

/// Networks that are none of the public internet, to which webhooks may be sent all the same.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Allowed(pub Vec<IpNet>);

impl FromStr for Allowed {
    type Err = String;

    /// Networks with commas between; nothing is none.
    fn from_str(text: &str) -> Result<Allowed, String> {
        let networks = text.split(',').filter(|part| !part.trim().is_empty());
        networks.map(parse_network).collect::<Result<_, _>>().map(Allowed)
    }
}

/// How a receiver is talked to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// In the clear: only to networks that the operator has named.
    Http,
    /// As it has to be.
    Https,
}

impl Allowed {
    fn names(&self, address: IpAddr) -> bool {
        // An address of version 4 in the clothes of version 6 reaches the same machine.
        self.0.iter().any(|network| network.contains(&address.to_canonical()))
    }

    /// Whether something may be sent to `address`.
    pub fn allows(&self, scheme: Scheme, address: IpAddr) -> bool {
        self.names(address) || (scheme == Scheme::Https && is_public(address))
    }
}

/// Where a webhook is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// As it was normalized: an address in any spelling has become the plain one.
    pub url: Url,
    /// How it is talked to.
    pub scheme: Scheme,
}

impl Target {
    /// Reads an address and refuses what can be refused without asking for its name: `malformed`, `not_https`,
    /// `has_credentials`, `has_fragment`, `forbidden_address`.
    pub fn parse(text: &str, allowed: &Allowed) -> Result<Target, Invalid> {
        let malformed = || Invalid::new("malformed", "must be an address such as https://example.com/directpay");
        if URL_BYTES_MAX < text.len() {
            return Err(Invalid::new("too_long", format!("must have at most {URL_BYTES_MAX} characters")));
        }
        let url = Url::parse(text).map_err(|_| malformed())?;
        let scheme = match url.scheme() {
            "https" => Scheme::Https,
            // In the clear only where the operator has named any network; which one it is in shows when it is sent.
            "http" if !allowed.0.is_empty() => Scheme::Http,
            _ => return Err(Invalid::new("not_https", "must begin with https://")),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Invalid::new("has_credentials", "must not hold a user name or a password"));
        }
        if url.fragment().is_some() {
            return Err(Invalid::new("has_fragment", "must not have a part behind #"));
        }
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or_else(malformed)?;
        if literal(host).is_some_and(|address| !allowed.allows(scheme, address)) {
            return Err(Invalid::new("forbidden_address", "must be a public address"));
        }
        Ok(Target { url, scheme })
    }

    /// The address that stands in it, if it holds no name.
    pub fn literal(&self) -> Option<IpAddr> {
        self.url.host_str().and_then(literal)
    }
}

/// The address that a normalized host is, if it is one.
fn literal(host: &str) -> Option<IpAddr> {
    host.trim_start_matches('[').trim_end_matches(']').parse().ok()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    /// Every way to write an address that is not for everybody.
    #[rstest]
    #[case::plain("127.0.0.1")]
    #[case::any_loopback("127.255.255.254")]
    #[case::decimal("2130706433")]
    #[case::octal("0177.0.0.1")]
    #[case::octal_whole("017700000001")]
    #[case::hexadecimal("0x7f.0.0.1")]
    #[case::hexadecimal_whole("0x7f000001")]
    #[case::mixed("0x7f.0.0.01")]
    #[case::short("127.1")]
    #[case::shorter("127.0.1")]
    #[case::nothing("0")]
    #[case::unspecified("0.0.0.0")]
    #[case::this_network("0.1.2.3")]
    #[case::dot_at_the_end("127.0.0.1.")]
    #[case::escaped("%31%32%37.0.0.1")]
    #[case::other_digits("１２７.０.０.１")]
    #[case::other_dots("127。0。0。1")]
    #[case::circled("①②⑦.⓪.⓪.①")]
    #[case::private_10("10.0.0.1")]
    #[case::private_10_decimal("167772161")]
    #[case::private_172("172.16.0.1")]
    #[case::private_172_end("172.31.255.255")]
    #[case::private_192("192.168.1.1")]
    #[case::shared("100.64.0.1")]
    #[case::shared_metadata("100.100.100.200")]
    #[case::metadata("169.254.169.254")]
    #[case::metadata_decimal("2852039166")]
    #[case::metadata_hexadecimal("0xA9FEA9FE")]
    #[case::metadata_octal("0251.0376.0251.0376")]
    #[case::metadata_short("169.254.43518")]
    #[case::metadata_of_another("192.0.0.192")]
    #[case::host_of_a_cloud("168.63.129.16")]
    #[case::documentation("192.0.2.1")]
    #[case::documentation_2("198.51.100.1")]
    #[case::documentation_3("203.0.113.1")]
    #[case::benchmark("198.18.0.1")]
    #[case::benchmark_end("198.19.255.255")]
    #[case::relay("192.88.99.1")]
    #[case::multicast("224.0.0.1")]
    #[case::multicast_end("239.255.255.255")]
    #[case::reserved("240.0.0.1")]
    #[case::broadcast("255.255.255.255")]
    #[case::v6_loopback("[::1]")]
    #[case::v6_unspecified("[::]")]
    #[case::v6_loopback_long("[0:0:0:0:0:0:0:1]")]
    #[case::mapped("[::ffff:127.0.0.1]")]
    #[case::mapped_hexadecimal("[::ffff:7f00:1]")]
    #[case::mapped_metadata("[::ffff:a9fe:a9fe]")]
    #[case::mapped_public("[::ffff:93.184.216.34]")]
    #[case::compatible("[::127.0.0.1]")]
    #[case::translated("[::ffff:0:127.0.0.1]")]
    #[case::nat64("[64:ff9b::127.0.0.1]")]
    #[case::nat64_metadata("[64:ff9b::a9fe:a9fe]")]
    #[case::nat64_local("[64:ff9b:1::a00:1]")]
    #[case::six_to_four("[2002:7f00:1::]")]
    #[case::six_to_four_metadata("[2002:a9fe:a9fe::1]")]
    #[case::teredo("[2001:0:4136:e378:8000:63bf:3fff:fdd2]")]
    #[case::orchid("[2001:20::1]")]
    #[case::v6_benchmark("[2001:2::1]")]
    #[case::v6_documentation("[2001:db8::1]")]
    #[case::v6_documentation_2("[3fff::1]")]
    #[case::discard("[100::1]")]
    #[case::unique_local("[fc00::1]")]
    #[case::unique_local_metadata("[fd00:ec2::254]")]
    #[case::link_local("[fe80::1]")]
    #[case::site_local("[fec0::1]")]
    #[case::v6_multicast("[ff02::1]")]
    #[case::segments("[5f00::1]")]
    fn an_address_that_is_not_for_everybody_is_refused_in_every_spelling(#[case] host: &str) {
        let refused = Target::parse(&format!("https://{host}/hook"), &Allowed::default());

        assert_eq!(refused.unwrap_err().code, "forbidden_address");
        let with_port = Target::parse(&format!("https://{host}:8443/hook"), &Allowed::default());
        assert_eq!(with_port.unwrap_err().code, "forbidden_address");
    }

    #[rstest]
    #[case("https://93.184.216.34/")]
    #[case("https://[2606:2800:220:1:248:1893:25c8:1946]/")]
    #[case("https://11.0.0.1/")]
    #[case("https://172.15.255.255/")]
    #[case("https://172.32.0.1/")]
    #[case("https://100.63.255.255/")]
    #[case("https://100.128.0.1/")]
    #[case("https://168.63.129.17/")]
    #[case("https://223.255.255.255/")]
    #[case("https://[2001:4860:4860::8888]/")]
    #[case("https://example.com:8443/hook?of=mine")]
    // A name may lead anywhere: where it leads is looked at when it is sent.
    #[case("https://localhost/")]
    fn what_may_be_for_everybody_is_taken(#[case] url: &str) {
        assert!(Target::parse(url, &Allowed::default()).is_ok());
    }

    #[rstest]
    #[case("", "malformed")]
    #[case("example.com/hook", "malformed")]
    #[case("https://", "malformed")]
    #[case("https://exa mple.com/", "malformed")]
    #[case("https://256.256.256.256/", "malformed")]
    #[case("http://example.com/", "not_https")]
    #[case("ftp://example.com/", "not_https")]
    #[case("file:///etc/passwd", "not_https")]
    #[case("javascript:alert(1)", "not_https")]
    #[case("https://user@example.com/", "has_credentials")]
    #[case("https://user:word@example.com/", "has_credentials")]
    #[case("https://:word@example.com/", "has_credentials")]
    #[case("https://example.com@127.0.0.1/", "has_credentials")]
    #[case("https://example.com/#part", "has_fragment")]
    fn what_is_no_address_of_a_webhook_is_refused(#[case] url: &str, #[case] code: &str) {
        assert_eq!(Target::parse(url, &Allowed::default()).unwrap_err().code, code);
    }

    #[test]
    fn an_address_has_an_end() {
        let long = format!("https://example.com/{}", "x".repeat(URL_BYTES_MAX));

        assert_eq!(Target::parse(&long, &Allowed::default()).unwrap_err().code, "too_long");
    }

    #[rstest]
    #[case("http://127.0.0.1/", true)]
    #[case("http://[::ffff:127.0.0.1]/", true)]
    #[case("http://2130706433/", true)]
    #[case("https://127.0.0.1/", true)]
    #[case("https://93.184.216.34/", true)]
    #[case("https://[fd12::1]/", true)]
    #[case("http://[fd12::1]/", true)]
    // In the clear to nowhere else.
    #[case("http://93.184.216.34/", false)]
    #[case("https://10.0.0.1/", false)]
    #[case("https://[fd13::1]/", false)]
    fn networks_that_the_operator_has_named_are_allowed_in_the_clear_too(#[case] url: &str, #[case] is_allowed: bool) {
        let allowed: Allowed = "127.0.0.0/8, fd12::/16".parse().unwrap();

        assert_eq!(Target::parse(url, &allowed).is_ok(), is_allowed);
    }

    #[rstest]
    #[case("10.0.0.0/33")]
    #[case("::/129")]
    #[case("ten/8")]
    #[case("10.0.0.0/8;fd00::/8")]
    fn what_is_no_network_is_refused(#[case] text: &str) {
        assert!(text.parse::<Allowed>().is_err());
    }
}
