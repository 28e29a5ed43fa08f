//! From a URL and the environment to [`Options`].
//!
//! Nothing here repeats a part of the URL in an error but the names of options: the rest may be a
//! password.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::options::Options;
use crate::driver::Durability;
use crate::drivers::server::secret::refuse_open;
use crate::drivers::server::url::{
    decoded, durability, hosts, no_option, not_encrypted, number, refuse_open_secret, set,
    yes_or_no,
};
use crate::error::{Error, Kind, Result};

const KNOWN: [&str; 9] = [
    "base",
    "durability",
    "create",
    "upgrade",
    "pool",
    "timeout",
    "settings",
    "passfile",
    "tls_ca",
];
const FORM: &str = "write for example redis://user@host:6379/0?base=agentkeep";
const PORT: u16 = 6379;
/// Longest prefix of the keys, in bytes.
const MAX_BASE: usize = 100;

fn invalid(message: impl Into<String>) -> Error {
    Error::new(Kind::InvalidInput, message).advice(FORM)
}

/// What a URL says beside the options.
#[derive(Default)]
struct More {
    base: Option<String>,
    passfile: Option<PathBuf>,
}

impl Options {
    /// From `redis://user:password@host:port/database?option=value`, or `rediss://` for TLS. What
    /// the URL leaves out comes from `REDIS_USERNAME` and `REDIS_PASSWORD` or `REDISCLI_AUTH`, the
    /// password also from the file that `passfile` names, which holds nothing else.
    ///
    /// # Errors
    /// `InvalidInput`, without any part of the URL but the names of options.
    pub fn from_url(url: &str) -> Result<Self> {
        let (mut options, named) = Self::from_foreign_url(url)?;
        if let Some(named) = named {
            options.base = base(named)?;
        }
        Ok(options)
    }

    /// The same, and beside it the base as the URL names it: that of others may be any.
    pub(super) fn from_foreign_url(url: &str) -> Result<(Self, Option<String>)> {
        let (scheme, rest) =
            url.split_once("://").ok_or_else(|| invalid("the store URL names no server"))?;
        let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, database) = place.split_once('/').unwrap_or((place, ""));
        refuse_open_secret(authority, database, query)?;
        let (user, authority) = match authority.rsplit_once('@') {
            Some((user, hosts)) => (user, hosts),
            None => ("", authority),
        };
        let (user, password) = user.split_once(':').unwrap_or((user, ""));
        let given = |text: &str| -> Result<_> {
            Ok(Some(decoded(text)?).filter(|text: &String| !text.is_empty()))
        };
        let database = match decoded(database)?.as_str() {
            "" => 0,
            number => number
                .parse()
                .map_err(|_| invalid("the database of the store URL is not a number"))?,
        };
        let mut options = Self {
            hosts: hosts(if authority.is_empty() { "localhost" } else { authority }, PORT)
                .map_err(|error| error.advice(FORM))?,
            database,
            user: given(user)?.or_else(|| set("REDIS_USERNAME")),
            password: given(password)?,
            base: "agentkeep".to_owned(),
            durability: Durability::Power,
            stated: false,
            create: true,
            upgrade: true,
            pool: 4,
            timeout: Duration::from_secs(30),
            tls: scheme == "rediss",
            root_certificates: None,
        };
        let More { base, passfile } = options.read_query(query)?;
        if options.root_certificates.is_some() && !options.tls {
            return Err(not_encrypted("tls_ca", "write rediss: instead of redis:"));
        }
        if options.password.is_none() {
            options.password = match passfile {
                Some(path) => Some(password_in(&path)?),
                None => set("REDIS_PASSWORD").or_else(|| set("REDISCLI_AUTH")),
            };
        }
        if options.user.is_some() && options.password.is_none() {
            return Err(Error::new(Kind::InvalidInput, "a user is named, but no password")
                .advice("give it in REDIS_PASSWORD, in passfile=FILE, or in the URL"));
        }
        Ok((options, base))
    }

    fn read_query(&mut self, query: &str) -> Result<More> {
        let mut seen = Vec::new();
        let mut more = More::default();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (name, value) = (decoded(name)?, decoded(value)?);
            if !KNOWN.contains(&name.as_str()) {
                return Err(no_option("redis", (&name, query), &KNOWN));
            }
            match name.as_str() {
                "base" => more.base = Some(value),
                "durability" => self.durability = durability(&value)?,
                "create" => self.create = yes_or_no(&name, &value)?,
                "upgrade" => self.upgrade = yes_or_no(&name, &value)?,
                "pool" => self.pool = number(&name, &value, 64)?,
                "timeout" => {
                    self.timeout = Duration::from_secs(number(&name, &value, 3600)? as u64);
                }
                "settings" => self.stated = settings(&value)?,
                "passfile" => more.passfile = Some(PathBuf::from(value)),
                _ => self.root_certificates = Some(PathBuf::from(value)),
            }
            if seen.contains(&name) {
                return Err(invalid(format!("the option {name} stands twice in the store URL")));
            }
            seen.push(name);
        }
        Ok(more)
    }
}

/// Braces would move the hash tag, which is the namespace's.
fn base(value: String) -> Result<String> {
    let fine = !value.is_empty() && value.len() <= MAX_BASE;
    if fine && !value.chars().any(|c| c.is_control() || c == '{' || c == '}') {
        return Ok(value);
    }
    Err(Error::new(Kind::InvalidInput, "base= is no beginning of keys")
        .advice(format!("it has 1 to {MAX_BASE} bytes, no braces and no control characters")))
}

fn settings(value: &str) -> Result<bool> {
    match value {
        "verified" => Ok(false),
        "stated" => Ok(true),
        _ => Err(Error::new(Kind::InvalidInput, "settings= is neither verified nor stated")
            .advice("write settings=verified or settings=stated")),
    }
}

fn password_in(path: &Path) -> Result<String> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        crate::drivers::io_error(&error, "the file of the password cannot be read", path)
    })?;
    refuse_open(path)?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_taken_apart() {
        let options = Options::from_url(
            "rediss://me%40home:p%40ss%3Aw%2Frd@[::1]:6000,db.example/3?base=a%2Fb&timeout=5&pool=1",
        )
        .unwrap();
        assert_eq!(options.user.as_deref(), Some("me@home"));
        assert_eq!(options.password.as_deref(), Some("p@ss:w/rd"));
        assert_eq!(options.hosts, [("::1".to_owned(), 6000), ("db.example".to_owned(), 6379)]);
        assert_eq!((options.database, options.base.as_str(), options.pool), (3, "a/b", 1));
        assert!(options.tls && options.timeout == Duration::from_secs(5));
        assert!(!format!("{options:?} {}", options.location()).contains("p@ss"));
        let plain = Options::from_url("redis://").unwrap();
        assert_eq!(plain.hosts, [("localhost".to_owned(), 6379)]);
        assert!(!plain.tls && plain.durability == Durability::Power);
    }

    #[test]
    fn what_is_wrong_is_said_without_the_secret() {
        for url in [
            "redis:secret",
            "redis://u:secret@h:99999/0",
            "redis://u:secret@h:secret/0",
            "redis://u:secret@h/secret",
            "redis://u:secret%ff@h/0",
            "redis://u:secret@h/0?pool=0",
            "redis://u:secret@h/0?base={secret}",
            "redis://u:secret@h/0?durability=none",
            "redis://u:secret@h/0?settings=secret",
            "redis://u:secret@h/0?option=1",
            "redis://u:secret@h/0?pool=1&pool=1",
            "redis://secret@h/0",
        ] {
            let error = Options::from_url(url).unwrap_err();
            assert_eq!(error.kind(), Kind::InvalidInput, "{error}");
            assert!(!format!("{error} {error:?}").contains("secret"), "{error:?}");
        }
    }
}
