//! From where a request really comes.
//!
//! Behind a proxy every connection comes from the proxy, which says in `X-Forwarded-For` for whom it asks. Anybody can write that
//! header: it is believed only as far as trusted proxies wrote it, from the last hop back to the first that is not one of them.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::request::Parts;
use axum::http::{Extensions, HeaderMap};
use ipnet::IpNet;

use crate::app::App;

/// The proxies whose word is taken, by their networks.
#[derive(Debug, Clone, Default)]
pub struct TrustedProxies(Arc<[IpNet]>);

impl TrustedProxies {
    /// Those in these networks.
    pub fn new(networks: &[IpNet]) -> TrustedProxies {
        TrustedProxies(networks.into())
    }

    fn contain(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }

    /// From where a request comes that `peer` sends with these headers.
    pub fn origin_of(&self, peer: IpAddr, headers: &HeaderMap) -> Origin {
        let mut origin = peer.to_canonical();
        let values = headers.get_all("x-forwarded-for").iter().rev();
        // What is no text ends the chain, as what is no address does.
        for hop in values.flat_map(|value| value.to_str().unwrap_or("?").rsplit(',')) {
            if !self.contain(origin) {
                break;
            }
            let Some(before) = parse_hop(hop.trim()) else { break };
            origin = before;
        }
        Origin(origin)
    }
}

/// An address as proxies write it, some of them with its port.
fn parse_hop(text: &str) -> Option<IpAddr> {
    let address = text.parse().or_else(|_| text.parse::<SocketAddr>().map(|address| address.ip())).ok();
    let bracketed = || text.strip_prefix('[')?.strip_suffix(']')?.parse::<Ipv6Addr>().ok().map(IpAddr::V6);
    address.or_else(bracketed).map(|address| address.to_canonical())
}

/// The address that a request comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Origin(IpAddr);

impl Origin {
    /// Of a request that has come in by a connection.
    pub fn of(trusted: &TrustedProxies, extensions: &Extensions, headers: &HeaderMap) -> Origin {
        let peer = extensions.get::<ConnectInfo<SocketAddr>>();
        let peer = peer.map_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED), |ConnectInfo(peer)| peer.ip());
        trusted.origin_of(peer, headers)
    }

    /// Whoever has one IPv6 address has all of its network: they are counted as one.
    pub fn household(self) -> IpAddr {
        match self.0 {
            IpAddr::V4(_) => self.0,
            IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
        }
    }
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl FromRequestParts<App> for Origin {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Origin, std::convert::Infallible> {
        Ok(Origin::of(&app.trusted_proxies, &parts.extensions, &parts.headers))
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::nobody_is_trusted("203.0.113.9", &["1.2.3.4"], "203.0.113.9")]
    #[case::nothing_was_forwarded("10.0.0.1", &[], "10.0.0.1")]
    #[case::by_one_proxy("10.0.0.1", &["198.51.100.7"], "198.51.100.7")]
    #[case::by_two("10.0.0.1", &["198.51.100.7, 10.0.0.2"], "198.51.100.7")]
    #[case::in_two_lines("10.0.0.1", &["198.51.100.7", "10.0.0.2"], "198.51.100.7")]
    #[case::what_a_client_made_up_stands_before_it("10.0.0.1", &["1.2.3.4, 198.51.100.7"], "198.51.100.7")]
    #[case::made_up_as_a_proxy("10.0.0.1", &["10.0.0.9, 198.51.100.7"], "198.51.100.7")]
    #[case::all_are_proxies("10.0.0.1", &["10.0.0.3, 10.0.0.2"], "10.0.0.3")]
    #[case::with_a_port("10.0.0.1", &["198.51.100.7:4711"], "198.51.100.7")]
    #[case::of_six("10.0.0.1", &["2001:db8::7"], "2001:db8::7")]
    #[case::of_six_in_brackets("10.0.0.1", &["[2001:db8::7]"], "2001:db8::7")]
    #[case::of_six_with_a_port("10.0.0.1", &["[2001:db8::7]:4711"], "2001:db8::7")]
    #[case::four_in_six("::ffff:10.0.0.1", &["::ffff:198.51.100.7"], "198.51.100.7")]
    #[case::a_proxy_of_six("fd00::1", &["198.51.100.7"], "198.51.100.7")]
    #[case::no_address("10.0.0.1", &["unknown"], "10.0.0.1")]
    #[case::no_address_in_between("10.0.0.1", &["198.51.100.7, _hidden, 10.0.0.2"], "10.0.0.2")]
    #[case::nothing_in_it("10.0.0.1", &["198.51.100.7,"], "10.0.0.1")]
    fn a_header_is_believed_as_far_as_trusted_proxies_wrote_it(
        #[case] peer: &str,
        #[case] forwarded: &[&'static str],
        #[case] origin: &str,
    ) {
        let trusted = TrustedProxies::new(&["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()]);
        let mut headers = HeaderMap::new();
        for line in forwarded {
            headers.append("x-forwarded-for", HeaderValue::from_static(line));
        }
        assert_eq!(trusted.origin_of(peer.parse().unwrap(), &headers).to_string(), origin);
        let nobody = TrustedProxies::default().origin_of(peer.parse().unwrap(), &headers);
        assert_eq!(nobody.0, peer.parse::<IpAddr>().unwrap().to_canonical());
    }

    #[test]
    fn one_network_of_six_is_one_household() {
        let household = |text: &str| Origin(text.parse().unwrap()).household();
        assert_eq!(household("2001:db8:1:2:3:4:5:6"), household("2001:db8:1:2:ffff::1"));
        assert_ne!(household("2001:db8:1:2::1"), household("2001:db8:1:3::1"));
        assert_ne!(household("198.51.100.7"), household("198.51.100.8"));
    }
}
