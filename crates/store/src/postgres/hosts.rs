//! The servers that a database address names.
//!
//! `postgres://user:password@a:5432,b,[::1]:5433/database?…`, as libpq writes it: one address for all, and each host with its
//! own port. sqlx knows one host, so that each becomes an address of its own.

use std::str::FromStr;

use sqlx::postgres::PgConnectOptions;

use crate::connect::{ConnectError, SESSION};

/// How to connect to each server that `url` names, in its order.
pub(super) fn parse(url: &str) -> Result<Vec<PgConnectOptions>, ConnectError> {
    let (scheme, rest) = url.split_once("://").ok_or(ConnectError::Malformed)?;
    let (authority, tail) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    // A password may hold an @ or a comma.
    let (user, hosts) = authority.split_at(authority.rfind('@').map_or(0, |at| at + 1));
    let is_list = hosts.contains(',');
    let of_host = |host: &str| {
        if is_list && (host.is_empty() || host.starts_with(':')) {
            return Err(ConnectError::Malformed);
        }
        options(&format!("{scheme}://{user}{host}{tail}"))
    };
    hosts.split(',').map(of_host).collect()
}

fn options(url: &str) -> Result<PgConnectOptions, ConnectError> {
    let options = PgConnectOptions::from_str(url).map_err(|_| ConnectError::Malformed)?;
    // The brackets of an IPv6 address belong to the URL; sqlx 0.9.0 would look them up as a name.
    let bare = options.get_host().strip_prefix('[').and_then(|host| host.strip_suffix(']')).map(str::to_owned);
    let options = match bare {
        Some(address) => options.host(&address),
        None => options,
    };
    Ok(options.application_name("directpay").options(SESSION))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(url: &str) -> Vec<String> {
        let hosts = parse(url).unwrap();
        hosts.iter().map(|host| format!("{}:{}", host.get_host(), host.get_port())).collect()
    }

    #[test]
    fn each_host_has_its_own_port() {
        assert_eq!(places("postgres://u:p@one:6001,two:6002/db"), ["one:6001", "two:6002"]);
        assert_eq!(places("postgresql://one:6001,10.0.0.2:6002"), ["one:6001", "10.0.0.2:6002"]);
        assert_eq!(
            places("postgres://u@[::1]:6001,[fe80::2]:6002,three:6003/db"),
            ["::1:6001", "fe80::2:6002", "three:6003"]
        );
    }

    #[test]
    fn one_host_is_a_list_of_one() {
        assert_eq!(places("postgres://u:p@one:6001/db"), ["one:6001"]);
        assert_eq!(places("postgres://u@[::1]:6001/db"), ["::1:6001"]);
        assert_eq!(parse("postgres:///db").unwrap().len(), 1);
    }

    #[test]
    fn user_database_and_parameters_are_the_same_for_all() {
        for host in parse("postgres://rent:s3cr3t@one,two/books?sslmode=require&application_name=x").unwrap() {
            assert_eq!(host.get_username(), "rent");
            assert_eq!(host.get_database(), Some("books"));
            assert!(matches!(host.get_ssl_mode(), sqlx::postgres::PgSslMode::Require));
            assert_eq!(host.get_application_name(), Some("directpay"));
            assert!(host.get_options().unwrap().contains("statement_timeout"));
        }
    }

    #[test]
    fn commas_and_ats_in_a_password_or_a_parameter_make_no_hosts() {
        assert_eq!(places("postgres://rent:a,b@c@one:6001,two:6002/db"), ["one:6001", "two:6002"]);
        assert_eq!(places("postgres://rent@one:6001/db?application_name=a,b@c"), ["one:6001"]);
    }

    #[test]
    fn a_malformed_list_is_refused_and_never_repeated() {
        for bad in [
            "postgres://u:s3cr3t@one,/db",
            "postgres://u:s3cr3t@,two/db",
            "postgres://u:s3cr3t@one,,two/db",
            "postgres://u:s3cr3t@one:6001,:6002/db",
            "postgres://u:s3cr3t@one:6001,two:port/db",
            "postgres://u:s3cr3t@one:6001,two:99999/db",
            "postgres://u:s3cr3t@one,[::1/db",
            "postgres:/one,two",
        ] {
            let refused = parse(bad).unwrap_err();
            assert!(matches!(refused, ConnectError::Malformed), "{bad}");
            assert!(!format!("{refused} {refused:?}").contains("s3cr3t"));
        }
    }
}
