//! From a URL, and the environment that all PostgreSQL clients know, to [`Options`].
//!
//! Nothing here repeats a part of the URL in an error but the names of options: the rest may be a
//! password.

use std::path::PathBuf;
use std::time::Duration;

use super::options::{Options, Tls};
use super::passfile;
use crate::driver::Durability;
use crate::drivers::server::url::{
    self, decoded, durability, no_option, not_encrypted, number, refuse_open_secret, set, yes_or_no,
};
use crate::error::{Error, Kind, Result};

const KNOWN: [&str; 12] = [
    "schema",
    "durability",
    "create",
    "upgrade",
    "pool",
    "timeout",
    "prepare",
    "hints",
    "host",
    "passfile",
    "sslmode",
    "sslrootcert",
];
const FORM: &str = "write for example postgres://user@host:5432/database?schema=agentkeep";
const PORT: u16 = 5432;

fn invalid(message: impl Into<String>) -> Error {
    Error::new(Kind::InvalidInput, message).advice(FORM)
}

impl Options {
    /// From `postgres://user:password@host:port/database?option=value`. What the URL leaves out
    /// comes from `PGHOST`, `PGPORT`, `PGUSER`, `PGPASSWORD`, `PGDATABASE`, `PGSSLMODE`,
    /// `PGSSLROOTCERT`, and the password also from the file that `passfile` or `PGPASSFILE` names,
    /// else `~/.pgpass`.
    ///
    /// # Errors
    /// `InvalidInput`, without any part of the URL but the names of options.
    pub fn from_url(url: &str) -> Result<Self> {
        Self::from_foreign_url(url).map(|(options, _)| options)
    }

    /// The same, and the schema only if the URL names one.
    pub(super) fn from_foreign_url(url: &str) -> Result<(Self, Option<String>)> {
        let rest = url.split_once("://").map(|(_, rest)| rest);
        let rest = rest.ok_or_else(|| invalid("the store URL names no server"))?;
        let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, database) = place.split_once('/').unwrap_or((place, ""));
        refuse_open_secret(authority, database, query)?;
        let (user, hosts) = match authority.rsplit_once('@') {
            Some((user, hosts)) => (Some(user), hosts),
            None => (None, authority),
        };
        let (user, password) = match user.map(|user| user.split_once(':').unwrap_or((user, ""))) {
            Some((user, password)) => (decoded(user)?, decoded(password)?),
            None => (String::new(), String::new()),
        };
        let user = Some(user).filter(|user| !user.is_empty());
        let user = user.or_else(|| set("PGUSER")).or_else(|| set("USER"));
        let database = Some(decoded(database)?).filter(|name| !name.is_empty());
        let mut options = Self {
            hosts: Vec::new(),
            database: String::new(),
            user: user.ok_or_else(|| invalid("the store URL names no role"))?,
            password: Some(password).filter(|password| !password.is_empty()),
            schema: String::new(),
            durability: Durability::Power,
            create: true,
            upgrade: true,
            pool: 10,
            timeout: Duration::from_secs(30),
            prepare: true,
            listen: true,
            tls: Tls::Verify,
            root_certificates: set("PGSSLROOTCERT").map(PathBuf::from),
        };
        options.database =
            database.or_else(|| set("PGDATABASE")).unwrap_or_else(|| options.user.clone());
        let mut more = More {
            mode: set("PGSSLMODE"),
            hosts: hosts.to_owned(),
            schema: None,
            passfile: None,
            certificates: false,
        };
        options.read_query(query, &mut more)?;
        options.schema = more.schema.clone().unwrap_or_else(|| "agentkeep".to_owned());
        options.hosts = hosts_of(&more.hosts)?;
        options.tls = tls(more.mode.as_deref(), &options.hosts)?;
        if more.certificates && options.tls == Tls::Disable {
            return Err(not_encrypted("sslrootcert", "add sslmode=verify-full"));
        }
        if options.password.is_none() {
            options.password = set("PGPASSWORD");
        }
        if options.password.is_none() {
            options.password = passfile::password(more.passfile, &options)?;
        }
        Ok((options, more.schema))
    }

    fn read_query(&mut self, query: &str, more: &mut More) -> Result<()> {
        let mut seen = Vec::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (name, value) = (decoded(name)?, decoded(value)?);
            if !KNOWN.contains(&name.as_str()) {
                return Err(no_option("postgres", (&name, query), &KNOWN));
            }
            match name.as_str() {
                "schema" => more.schema = Some(schema(value)?),
                "durability" => self.durability = durability(&value)?,
                "create" => self.create = yes_or_no(&name, &value)?,
                "upgrade" => self.upgrade = yes_or_no(&name, &value)?,
                "prepare" => self.prepare = yes_or_no(&name, &value)?,
                "hints" => self.listen = hints(&value)?,
                "pool" => self.pool = number(&name, &value, 1000)?,
                "timeout" => {
                    self.timeout = Duration::from_secs(number(&name, &value, 3600)? as u64);
                }
                "host" => more.hosts = value,
                "passfile" => more.passfile = Some(PathBuf::from(value)),
                "sslmode" => more.mode = Some(value),
                _ => {
                    more.certificates = true;
                    self.root_certificates = Some(PathBuf::from(value));
                }
            }
            if seen.contains(&name) {
                return Err(invalid(format!("the option {name} stands twice in the store URL")));
            }
            seen.push(name);
        }
        Ok(())
    }
}

/// What needs the rest before it can be understood.
struct More {
    mode: Option<String>,
    hosts: String,
    schema: Option<String>,
    passfile: Option<PathBuf>,
    /// Whether the URL, not the environment, names certificates.
    certificates: bool,
}

fn schema(value: String) -> Result<String> {
    let fine = !value.is_empty() && value.len() <= 63 && !value.starts_with("pg_");
    if fine && !value.chars().any(char::is_control) {
        return Ok(value);
    }
    let advice = "a schema's name has 1 to 63 bytes and does not begin with pg_";
    Err(Error::new(Kind::InvalidInput, "schema= is no name of a schema").advice(advice))
}

fn hints(value: &str) -> Result<bool> {
    match value {
        "listen" => Ok(true),
        "poll" => Ok(false),
        _ => Err(Error::new(Kind::InvalidInput, "hints= is neither listen nor poll")
            .advice("write hints=listen or hints=poll")),
    }
}

/// Hosts with their ports, separated by commas.
fn hosts_of(text: &str) -> Result<Vec<(String, u16)>> {
    let port = match set("PGPORT") {
        Some(port) => port.parse().map_err(|_| invalid("PGPORT is no port"))?,
        None => PORT,
    };
    if text.is_empty() {
        let host = set("PGHOST").unwrap_or_else(|| "localhost".to_owned());
        return Ok(host.split(',').map(|host| (host.to_owned(), port)).collect());
    }
    url::hosts(text, port).map_err(|error| error.advice(FORM))
}

/// Where nobody else can listen, encryption has to be asked for; elsewhere, the lack of it.
fn tls(mode: Option<&str>, hosts: &[(String, u16)]) -> Result<Tls> {
    let own = |host: &str| {
        let address = host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
        host.starts_with('/') || host == "localhost" || address
    };
    match mode {
        Some("disable") => Ok(Tls::Disable),
        Some("require") => Ok(Tls::Require),
        // `allow` and `prefer` promise nothing, and so they ask for nothing.
        None | Some("allow" | "prefer") if hosts.iter().all(|(host, _)| own(host)) => {
            Ok(Tls::Disable)
        }
        None | Some("verify-full" | "verify-ca" | "allow" | "prefer") => Ok(Tls::Verify),
        Some(_) => Err(Error::new(Kind::InvalidInput, "sslmode= is not known")
            .advice("write sslmode=verify-full, require or disable")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_taken_apart() {
        let options = Options::from_url(
            "postgres://me%40home:p%40ss%3Aw%2Frd@[::1]:6000,db.example/keep%20it?schema=a%22b&timeout=5",
        )
        .unwrap();
        assert_eq!(options.user, "me@home");
        assert_eq!(options.password.as_deref(), Some("p@ss:w/rd"));
        assert_eq!(options.hosts[0], ("::1".to_owned(), 6000));
        assert_eq!(options.hosts[1].0, "db.example");
        assert_eq!((options.database.as_str(), options.schema.as_str()), ("keep it", "a\"b"));
        assert_eq!((options.tls, options.timeout), (Tls::Verify, Duration::from_secs(5)));
        assert!(!format!("{options:?}").contains("p@ss"));
    }

    #[test]
    fn this_machine_needs_no_encryption() {
        for (url, expected) in [
            ("postgres://u@127.0.0.1/d", Tls::Disable),
            ("postgres://u@localhost/d", Tls::Disable),
            ("postgres://u@/d?host=/run/postgresql", Tls::Disable),
            ("postgres://u@db/d", Tls::Verify),
            ("postgres://u@db/d?sslmode=require", Tls::Require),
            ("postgres://u@127.0.0.1,db/d", Tls::Verify),
        ] {
            assert_eq!(Options::from_url(url).unwrap().tls, expected, "{url}");
        }
    }

    #[test]
    fn what_is_wrong_is_said_without_the_secret() {
        for url in [
            "postgres:secret",
            "postgres://u:secret@h:99999/d",
            "postgres://u:secret@h:secret/d",
            "postgres://u:secret%ff@h/d",
            "postgres://u:secret@h/d?pool=0",
            "postgres://u:secret@h/d?sslmode=secret",
            "postgres://u:secret@h/d?schema=pg_secret",
            "postgres://u:secret@h/d?option=1",
            "postgres://u:secret@h/d?pool=1&pool=1",
            "postgres://u:secret@h/d?durability=none",
            "postgres://u:secret@127.0.0.1/d?sslrootcert=/secret",
            "postgres://u:pa?secret@h/d",
            "postgres://u:pa?x=secret@h/d",
            "postgres://u:99/secret@h/d",
            "postgres://u:p@99/secret@h/d",
            "postgres://u@h/d?secret%40=1",
            "postgres://u@h/d?Secret=1",
            "postgres://u:a@b?secret=d@h/d",
        ] {
            let error = Options::from_url(url).unwrap_err();
            assert_eq!(error.kind(), Kind::InvalidInput, "{error}");
            let told = format!("{error} {error:?}").to_lowercase();
            assert!(!told.contains("secret"), "{error:?}");
        }
    }
}
