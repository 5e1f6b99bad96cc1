//! Settings, read and checked once. Every setting is a flag and an environment variable.

mod keys;

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use directpay_domain::rail::DelayScale;
use ipnet::IpNet;
use lettre::Address;
use lettre::message::Mailbox;
use reqwest::Url;

pub use self::keys::{MasterKeyArgs, MasterKeyPlace, MasterKeyText, SecretsPlace, SecretsSource};
use crate::webhooks::addresses::Allowed;

/// Where the data is and how to talk about it; the same for every command.
#[derive(Debug, Clone, Args)]
pub struct DatabaseArgs {
    /// sqlite://FILE or postgres://USER:PASSWORD@HOST:PORT/DATABASE; several HOST:PORT with commas between
    #[arg(
        long,
        env = "DIRECTPAY_DATABASE_URL",
        default_value = "sqlite://directpay.db",
        hide_env_values = true,
        global = true
    )]
    pub database_url: DatabaseUrl,

    /// A file that holds the database URL, for secrets that are handed over as files; wins over the URL itself
    #[arg(long, env = "DIRECTPAY_DATABASE_URL_FILE", global = true)]
    pub database_url_file: Option<PathBuf>,

    /// Encryption, fingerprint and signing keys; default: directpay.secrets beside the SQLite file, named as the database
    #[arg(long, env = "DIRECTPAY_SECRETS_FILE", global = true)]
    pub secrets_file: Option<PathBuf>,

    /// What wraps them.
    #[command(flatten)]
    pub master_key: MasterKeyArgs,
}

/// How logs are written; always to standard error.
#[derive(Debug, Clone, Args)]
pub struct LogArgs {
    /// Which log lines are written, as a tracing filter
    #[arg(long, env = "DIRECTPAY_LOG", default_value = "info", global = true)]
    pub log: String,

    /// For people or for machines
    #[arg(long, env = "DIRECTPAY_LOG_FORMAT", value_enum, default_value = "text", global = true)]
    pub log_format: LogFormat,

    /// Where `serve` and `worker` send traces, by OTLP over HTTP, to v1/traces below it; omitted, none are made
    #[arg(long, env = "OTEL_EXPORTER_OTLP_ENDPOINT", hide_env_values = true, value_name = "URL", global = true)]
    pub otlp_endpoint: Option<String>,

    /// The same, for traces alone and as it is; wins over the former
    #[arg(long, env = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", hide_env_values = true, value_name = "URL", global = true)]
    pub otlp_traces_endpoint: Option<String>,
}

impl LogArgs {
    /// The address that takes traces, if there is one.
    pub fn traces_endpoint(&self) -> Option<String> {
        let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        let below = |endpoint: String| format!("{}/v1/traces", endpoint.trim_end_matches('/'));
        given(&self.otlp_traces_endpoint).or_else(|| given(&self.otlp_endpoint).map(below))
    }
}

/// The form of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// What the simulated bank does.
#[derive(Debug, Clone, Copy, Args)]
pub struct SimulatorArgs {
    /// Multiplies the simulator's delays; 0 settles at once
    #[arg(long, env = "DIRECTPAY_RAIL_DELAY_SCALE", default_value = "1", value_parser = parse_scale)]
    pub rail_delay_scale: DelayScale,
}

/// Most payments in one transaction, unless somebody says otherwise.
pub const BATCH_MAX: usize = 256;

/// How mail is sent, and what links in it begin with; the same for servers and workers.
#[derive(Debug, Clone, Default, Args)]
pub struct MailArgs {
    /// smtps://USER:PASSWORD@HOST or smtp://USER:PASSWORD@HOST?tls=required; omitted, each mail becomes a file
    #[arg(long, env = "DIRECTPAY_SMTP_URL", hide_env_values = true, value_name = "URL")]
    pub smtp_url: Option<SmtpUrl>,

    /// A file that holds the SMTP URL, for secrets that are handed over as files; wins over the URL itself
    #[arg(long, env = "DIRECTPAY_SMTP_URL_FILE", value_name = "FILE")]
    pub smtp_url_file: Option<PathBuf>,

    /// Who mail is from, such as `Rent <rent@example.com>`; needed for SMTP
    #[arg(long, env = "DIRECTPAY_MAIL_FROM", value_name = "ADDRESS")]
    pub mail_from: Option<Mailbox>,

    /// Without SMTP: the folder of the files; default: directpay.mail beside the SQLite file, named as the database
    #[arg(long, env = "DIRECTPAY_MAIL_FOLDER", value_name = "FOLDER")]
    pub mail_folder: Option<PathBuf>,

    /// The https address by which people reach this server; links begin with it. Needed for SMTP
    #[arg(long, env = "DIRECTPAY_PUBLIC_URL", value_name = "URL")]
    pub public_url: Option<PublicUrl>,
}

/// How mail is sent, with all defaults resolved.
#[derive(Debug, Clone)]
pub struct MailPlace {
    /// Who carries it.
    pub carrier: MailCarrier,
    /// Who it is from.
    pub from: Mailbox,
    /// What links begin with.
    pub public_url: PublicUrl,
}

/// Who carries mail.
#[derive(Debug, Clone)]
pub enum MailCarrier {
    /// A mail server.
    Smtp(SmtpUrl),
    /// Nobody: each mail becomes a file.
    Folder(PathBuf),
}

impl MailArgs {
    /// Resolves the defaults.
    pub fn resolve(&self, database: &DatabaseUrl) -> anyhow::Result<MailPlace> {
        let smtp_url = match &self.smtp_url_file {
            None => self.smtp_url.clone(),
            Some(file) => Some(read_url(file)?),
        };
        let carrier = match (smtp_url, &self.mail_folder, database) {
            (Some(_), Some(_), _) => {
                anyhow::bail!(
                    "mail goes by SMTP or into a folder: DIRECTPAY_SMTP_URL and DIRECTPAY_MAIL_FOLDER are both set"
                )
            }
            (Some(url), None, _) => MailCarrier::Smtp(url),
            (None, Some(folder), _) => MailCarrier::Folder(folder.clone()),
            (None, None, DatabaseUrl::Sqlite(file)) => MailCarrier::Folder(file.with_extension("mail")),
            (None, None, DatabaseUrl::Postgres(_)) => MailCarrier::Folder(PathBuf::from("directpay.mail")),
        };
        let (from, public_url) = match (&carrier, &self.mail_from, &self.public_url) {
            (_, Some(from), Some(url)) => (from.clone(), url.clone()),
            (MailCarrier::Smtp(_), _, _) => {
                anyhow::bail!("with DIRECTPAY_SMTP_URL set DIRECTPAY_MAIL_FROM and DIRECTPAY_PUBLIC_URL as well")
            }
            (MailCarrier::Folder(_), from, url) => {
                let nobody = Address::new("directpay", "localhost")?;
                let from = from.clone().unwrap_or(Mailbox::new(Some("DirectPay".into()), nobody));
                (from, url.clone().unwrap_or(PublicUrl("http://127.0.0.1:8080".into())))
            }
        };
        Ok(MailPlace { carrier, from, public_url })
    }
}

/// Where a mail server is, and how to sign in there. Its `Debug` shows nothing.
#[derive(Clone)]
pub struct SmtpUrl(String);

impl SmtpUrl {
    /// All of it, for connecting and nothing else.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl std::str::FromStr for SmtpUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<SmtpUrl, String> {
        let url = Url::parse(text).map_err(|_| "must begin with smtps:// or smtp://")?;
        let tls = url.query_pairs().find(|(name, _)| name == "tls").map(|(_, value)| value.into_owned());
        let is_tls = match (url.scheme(), tls.as_deref()) {
            ("smtps", None) | ("smtp", Some("required")) => true,
            ("smtp", None) => false,
            _ => return Err("must be smtps://…, smtp://…?tls=required, or smtp://… without TLS".into()),
        };
        if url.host_str().is_none_or(str::is_empty) || (!url.username().is_empty() && url.password().is_none()) {
            return Err("must name a host, and a password with a user".into());
        }
        if !is_tls && url.password().is_some() {
            return Err("would send the password in clear: take smtps:// or add ?tls=required".into());
        }
        Ok(SmtpUrl(text.to_owned()))
    }
}

impl fmt::Debug for SmtpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SmtpUrl(…)")
    }
}

/// Where people reach this server: scheme, host and perhaps a path, without a slash at the end.
///
/// Links are made from it alone: what a request says of the host may be anybody's invention.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicUrl(String);

impl PublicUrl {
    /// As it stands.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::str::FromStr for PublicUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<PublicUrl, String> {
        let url = Url::parse(text).map_err(|_| "must begin with https:// or http://")?;
        let is_web = matches!(url.scheme(), "https" | "http") && url.host_str().is_some();
        let is_bare =
            url.username().is_empty() && url.password().is_none() && url.query().is_none() && url.fragment().is_none();
        if !is_web || !is_bare {
            return Err("must be https://HOST or http://HOST, perhaps with a path, and nothing else".into());
        }
        Ok(PublicUrl(url.as_str().trim_end_matches('/').to_owned()))
    }
}

/// How work is done, by a server or a worker.
#[derive(Debug, Clone, Args)]
pub struct WorkArgs {
    /// Most payments in one database transaction; fewer make a slow disk answer sooner and do less in all
    #[arg(long, env = "DIRECTPAY_BATCH_MAX", default_value_t = BATCH_MAX, value_parser = parse_batch_max)]
    pub batch_max: usize,

    /// Address of its own for /metrics, for Prometheus; for a private network only. Omitted, no metrics are served
    #[arg(long, env = "DIRECTPAY_METRICS_LISTEN", value_name = "ADDRESS")]
    pub metrics_listen: Option<SocketAddr>,

    /// Own networks to which webhooks may be sent besides the public internet, such as 10.1.0.0/16,fd12::/32; in the clear, too
    #[arg(
        long,
        env = "DIRECTPAY_WEBHOOK_ALLOW",
        default_value = "",
        value_name = "NETWORKS",
        hide_default_value = true
    )]
    pub webhook_allow: Allowed,

    /// The simulated bank.
    #[command(flatten)]
    pub simulator: SimulatorArgs,

    /// Mail.
    #[command(flatten)]
    pub mail: MailArgs,
}

/// What a server does.
#[derive(Debug, Clone, Args)]
pub struct ServeArgs {
    /// Address to listen on; port 0 picks a free one
    #[arg(long, env = "DIRECTPAY_LISTEN", default_value = "127.0.0.1:8080")]
    pub listen: SocketAddr,

    /// Run workers in this process
    #[arg(long, env = "DIRECTPAY_WORKERS", default_value = "true", value_name = "BOOL", num_args = 1)]
    pub workers: bool,

    /// Leave the workers to other processes
    #[arg(long, overrides_with = "workers")]
    pub no_workers: bool,

    /// Bring an old PostgreSQL schema up to date instead of refusing to start
    #[arg(long)]
    pub migrate: bool,

    /// A PostgreSQL replica for lists, which may then be a little old: postgres://USER:PASSWORD@HOST/DATABASE
    #[arg(long, env = "DIRECTPAY_REPLICA_URL", hide_env_values = true)]
    pub replica_url: Option<DatabaseUrl>,

    /// Networks of proxies whose X-Forwarded-For is believed, such as 10.0.0.0/8,127.0.0.1/32
    #[arg(long, env = "DIRECTPAY_TRUSTED_PROXIES", value_name = "NETWORKS", value_delimiter = ',', value_parser = parse_network)]
    pub trusted_proxies: Vec<IpNet>,

    /// How much each may ask for.
    #[command(flatten)]
    pub limits: LimitArgs,

    /// Batches, and the simulated bank.
    #[command(flatten)]
    pub work: WorkArgs,
}

impl ServeArgs {
    /// The replica, if one is named and `database` may have one.
    pub fn replica(&self, database: &DatabaseUrl) -> anyhow::Result<Option<&str>> {
        match (&self.replica_url, database) {
            (None, _) => Ok(None),
            (Some(_), DatabaseUrl::Sqlite(_)) => {
                anyhow::bail!("DIRECTPAY_REPLICA_URL is set, but a SQLite database has no replica")
            }
            (Some(DatabaseUrl::Sqlite(_)), DatabaseUrl::Postgres(_)) => {
                anyhow::bail!("DIRECTPAY_REPLICA_URL must begin with postgres://")
            }
            (Some(DatabaseUrl::Postgres(replica)), DatabaseUrl::Postgres(_)) => Ok(Some(replica)),
        }
    }
}

/// How much each may ask for, in requests a minute.
#[derive(Debug, Clone, Copy, Args)]
pub struct LimitArgs {
    /// Limits requests and throttles sign-ins; off only for load tests on a private address
    #[arg(long, env = "DIRECTPAY_RATE_LIMIT", value_enum, default_value = "on")]
    pub rate_limit: RateLimit,

    /// Requests a minute by one API key
    #[arg(long, env = "DIRECTPAY_LIMIT_PER_KEY", value_name = "NUMBER", default_value_t = LimitArgs::DEFAULT.limit_per_key)]
    pub limit_per_key: NonZeroU32,

    /// Requests a minute by one person
    #[arg(long, env = "DIRECTPAY_LIMIT_PER_USER", value_name = "NUMBER", default_value_t = LimitArgs::DEFAULT.limit_per_user)]
    pub limit_per_user: NonZeroU32,

    /// Requests a minute from one network address, whoever they are by
    #[arg(long, env = "DIRECTPAY_LIMIT_PER_ADDRESS", value_name = "NUMBER", default_value_t = LimitArgs::DEFAULT.limit_per_address)]
    pub limit_per_address: NonZeroU32,

    /// Sign-ins and sign-ups a minute from one network address
    #[arg(long, env = "DIRECTPAY_LIMIT_SIGN_INS", value_name = "NUMBER", default_value_t = LimitArgs::DEFAULT.limit_sign_ins)]
    pub limit_sign_ins: NonZeroU32,

    /// Reports and statements a minute for one person
    #[arg(long, env = "DIRECTPAY_LIMIT_REPORTS", value_name = "NUMBER", default_value_t = LimitArgs::DEFAULT.limit_reports)]
    pub limit_reports: NonZeroU32,
}

impl LimitArgs {
    /// What holds unless somebody says otherwise.
    pub const DEFAULT: LimitArgs = LimitArgs {
        rate_limit: RateLimit::On,
        limit_per_key: requests(1200),
        limit_per_user: requests(600),
        limit_per_address: requests(6000),
        limit_sign_ins: requests(120),
        limit_reports: requests(60),
    };
}

/// At least one, so that nobody is locked out by a slip.
const fn requests(number: u32) -> NonZeroU32 {
    match NonZeroU32::new(number) {
        Some(number) => number,
        None => NonZeroU32::MIN,
    }
}

/// Reads a network, or one address.
pub fn parse_network(text: &str) -> Result<IpNet, String> {
    let text = text.trim();
    let network = text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
    network.map_err(|_| format!("`{text}` is no network: write it as 10.0.0.0/8 or fd00::/8"))
}

/// Whether callers are throttled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum RateLimit {
    /// They are.
    On,
    /// They are not.
    Off,
}

fn parse_batch_max(text: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|number| (1..=1000).contains(number));
    number.ok_or_else(|| "must be a whole number from 1 to 1000".into())
}

fn parse_scale(text: &str) -> Result<DelayScale, String> {
    DelayScale::parse(text).map_err(|invalid| invalid.to_string())
}

/// Where the data is. Its `Debug` and `Display` never show a password.
#[derive(Clone, PartialEq, Eq)]
pub enum DatabaseUrl {
    /// One file.
    Sqlite(PathBuf),
    /// A server; the whole URL.
    Postgres(String),
}

impl std::str::FromStr for DatabaseUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<DatabaseUrl, String> {
        if let Some(file) = text.strip_prefix("sqlite://").or_else(|| text.strip_prefix("sqlite:")) {
            if file.is_empty() || file.contains(['?', '#']) || file == ":memory:" {
                return Err("a sqlite URL names a file and nothing else".into());
            }
            return Ok(DatabaseUrl::Sqlite(PathBuf::from(file)));
        }
        if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            return Ok(DatabaseUrl::Postgres(text.to_owned()));
        }
        Err("must begin with sqlite:// or postgres://".into())
    }
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DatabaseUrl::Sqlite(file) => write!(f, "sqlite://{}", file.display()),
            DatabaseUrl::Postgres(url) => {
                // What stands behind the last @ is hosts and database; behind a ? there may be a password with an @.
                let place = url.rsplit_once('@').filter(|(before, _)| !before.contains('?'));
                let place = place.map_or("…", |(_, place)| place);
                write!(f, "postgres://…@{}", place.split('?').next().unwrap_or(place))
            }
        }
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Where database and secrets are, with all defaults resolved.
#[derive(Debug, Clone)]
pub struct Database {
    /// The database.
    pub url: DatabaseUrl,
    /// The secrets.
    pub secrets: SecretsSource,
}

impl DatabaseArgs {
    /// Resolves the defaults.
    pub fn resolve(&self) -> anyhow::Result<Database> {
        let url = match &self.database_url_file {
            None => self.database_url.clone(),
            Some(file) => read_url(file)?,
        };
        let place = match (&url, &self.secrets_file) {
            (DatabaseUrl::Sqlite(_), Some(file)) => SecretsPlace::MadeIfMissing(file.clone()),
            (DatabaseUrl::Sqlite(database), None) => SecretsPlace::MadeIfMissing(database.with_extension("secrets")),
            (DatabaseUrl::Postgres(_), Some(file)) => SecretsPlace::MustExist(file.clone()),
            (DatabaseUrl::Postgres(_), None) => SecretsPlace::Unnamed,
        };
        Ok(Database { url, secrets: SecretsSource { place, master: self.master_key.place()? } })
    }
}

fn read_url<T: std::str::FromStr<Err = String>>(file: &Path) -> anyhow::Result<T> {
    use anyhow::Context;
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    text.trim().parse().map_err(|reason: String| anyhow::anyhow!("the URL in {} {reason}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_in_the_url_is_never_shown() {
        let url: DatabaseUrl = "postgres://rent:s3cr3t@db.example/directpay?sslmode=require".parse().unwrap();
        assert_eq!(format!("{url} {url:?}"), "postgres://…@db.example/directpay postgres://…@db.example/directpay");
        let odd: DatabaseUrl = "postgres://rent:p@ss@db/directpay".parse().unwrap();
        assert!(!odd.to_string().contains("p@ss"));
        let several: DatabaseUrl = "postgres://rent:s3,cr3t@a:5432,b:5433/directpay".parse().unwrap();
        assert_eq!(several.to_string(), "postgres://…@a:5432,b:5433/directpay");
        for hidden in ["postgres://db/directpay?password=s@cr3t", "postgres://rent:s@db?password=s@cr3t"] {
            assert!(!hidden.parse::<DatabaseUrl>().unwrap().to_string().contains("cr3t"), "{hidden}");
        }
    }

    #[test]
    fn a_password_for_mail_is_neither_shown_nor_sent_in_clear() {
        let parse = |text: &str| text.parse::<SmtpUrl>();
        for good in
            ["smtps://rent:s3cr3t@mail.example", "smtp://rent:s3cr3t@mail.example:2525?tls=required", "smtp://[::1]:25"]
        {
            assert!(!format!("{:?}", parse(good).unwrap()).contains("s3cr3t"));
        }
        for bad in [
            "smtp://rent:s3cr3t@mail.example",
            "smtp://rent:s3cr3t@mail.example?tls=opportunistic",
            "smtp://mail.example?tls=no",
            "smtps://rent@mail.example",
            "https://mail.example",
            "smtps://",
            "mail.example",
        ] {
            assert!(!parse(bad).unwrap_err().contains("s3cr3t"), "{bad}");
        }
    }

    #[test]
    fn links_begin_with_a_bare_address() {
        let parse = |text: &str| text.parse::<PublicUrl>();
        for (text, url) in [
            ("https://rent.example.com/", "https://rent.example.com"),
            ("http://localhost:8080", "http://localhost:8080"),
            ("https://example.com/rent/", "https://example.com/rent"),
        ] {
            assert_eq!(parse(text).unwrap().as_str(), url);
        }
        for bad in [
            "rent.example.com",
            "ftp://a.example",
            "https://a@b.example",
            "https://a.example?b",
            "https://a.example/#b",
            "https://",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn mail_by_smtp_needs_a_sender_and_an_address_for_links() {
        let args = MailArgs {
            smtp_url: Some("smtps://mail.example".parse().unwrap()),
            smtp_url_file: None,
            mail_from: None,
            mail_folder: None,
            public_url: None,
        };
        let database = DatabaseUrl::Sqlite("rent.db".into());
        assert!(args.resolve(&database).is_err());
        let from = Some("Rent <rent@example.com>".parse().unwrap());
        let whole =
            MailArgs { mail_from: from, public_url: Some("https://a.example".parse().unwrap()), ..args.clone() };
        assert!(matches!(whole.resolve(&database).unwrap().carrier, MailCarrier::Smtp(_)));
        let both = MailArgs { mail_folder: Some("mail".into()), ..whole };
        assert!(both.resolve(&database).is_err());
        let neither = MailArgs { smtp_url: None, ..args };
        let MailCarrier::Folder(folder) = neither.resolve(&database).unwrap().carrier else { panic!("no folder") };
        assert_eq!(folder, Path::new("rent.mail"));
    }

    #[test]
    fn an_unknown_database_is_refused() {
        for bad in ["mysql://x", "directpay.db", "sqlite://", "sqlite::memory:", "sqlite://a.db?mode=ro"] {
            assert!(bad.parse::<DatabaseUrl>().is_err(), "{bad}");
        }
    }
}
