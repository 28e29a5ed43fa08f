//! Store URLs: from a URL to a driver, one match.
//!
//! - `memory:` keeps everything in the process;
//! - `file:./keep` is a folder of readable JSON, made if missing;
//! - `sqlite:./keep.db` is a file, its folder made if missing; `sqlite:` alone is
//!   `$AGENTKEEP_DIR/data/keep.db`, by default `~/.agentkeep/data/keep.db`;
//! - `postgres://user@host:5432/database` is a schema of a PostgreSQL database, made if missing and
//!   allowed; what the URL leaves out comes from `PGHOST`, `PGPASSWORD` and their like;
//! - `redis://user@host:6379/0` (`rediss:` with TLS) is a base of keys on a Redis server or cluster; what
//!   the URL leaves out comes from `REDIS_USERNAME` and `REDIS_PASSWORD` or `REDISCLI_AUTH`.
//!
//! Options of `sqlite:` and `file:` are query parameters: `durability=power|process|none` (default `power`:
//! an acknowledged commit survives a power cut; `process` loses up to the last few seconds of
//! acknowledged commits on a power cut, but nothing on `kill -9`; `none` may also damage the
//! file on a power cut), `create=yes|no` (`no` refuses a store that is not there),
//! `network_fs=yes|no`, `timeout=SECONDS`; for `sqlite:` also `upgrade=yes|no`, `readers=1..64`. The characters `?`, `#` and `%` of a path are written `%3F`, `%23`, `%25`.
//!
//! Options of `postgres:` are `schema=NAME` (default `agentkeep`), `durability=power|process` (at
//! `power` a server that could lose what it acknowledged is refused), `create=yes|no`,
//! `upgrade=yes|no`, `pool=1..1000` connections, `timeout=SECONDS` for every call,
//! `sslmode=verify-full|require|disable` (default `verify-full`, on this machine `disable`),
//! `sslrootcert=FILE`, `passfile=FILE`, `host=` for a socket's folder, `hints=listen|poll`,
//! `prepare=yes|no`.
//!
//! Options of `redis:` are `base=NAME`, what all keys begin with (default `agentkeep`),
//! `durability=power|process` (at `power` a server that could lose what it acknowledged is refused),
//! `settings=verified|stated` (`stated`: a server that hides its settings has those that are needed),
//! `create=yes|no`, `upgrade=yes|no`, `pool=1..64` connections, `timeout=SECONDS` for every call,
//! `passfile=FILE`, `tls_ca=FILE`. Several hosts with commas between them are nodes of a cluster, or
//! servers of which the first that is a master counts. Whether it is a cluster, the server says.

use std::path::PathBuf;
use std::sync::Arc;

use futures_util::future::BoxFuture;

use crate::driver::Driver;
use crate::error::{Error, Kind, Result};
use crate::schema::AGENTKEEP;

#[cfg(not(any(feature = "postgres", feature = "redis")))]
const SCHEMES: &str = "memory:, file:, sqlite:";
#[cfg(all(feature = "postgres", not(feature = "redis")))]
const SCHEMES: &str = "memory:, file:, sqlite:, postgres:";
#[cfg(all(feature = "redis", not(feature = "postgres")))]
const SCHEMES: &str = "memory:, file:, sqlite:, redis:";
#[cfg(all(feature = "postgres", feature = "redis"))]
const SCHEMES: &str = "memory:, file:, sqlite:, postgres:, redis:";
/// Named in the design, not part of this build.
const LATER: [&str; 6] = ["postgres", "postgresql", "mysql", "redis", "rediss", "mongodb"];

/// Opens the driver that `url` names, with what agentkeep keeps.
///
/// # Errors
/// `InvalidInput` for an unknown scheme or option, `Unsupported` for a driver that is not compiled
/// in, and what the driver says.
pub async fn open(url: &str) -> Result<Arc<dyn Driver>> {
    boxed(url).await
}

/// What an `async fn` does is compiled with each crate that awaits it, and all drivers would be with
/// this one; what a plain function does is compiled here.
#[inline(never)]
fn boxed(url: &str) -> BoxFuture<'_, Result<Arc<dyn Driver>>> {
    Box::pin(opened(url))
}

async fn opened(url: &str) -> Result<Arc<dyn Driver>> {
    let parts = Parts::of(url)?;
    match parts.scheme {
        "memory" => {
            parts.refuse_path()?;
            parts.refuse_unknown(&[])?;
            Ok(Arc::new(crate::drivers::memory::Memory::open(&AGENTKEEP)))
        }
        #[cfg(unix)]
        "file" => open_file(&parts).await,
        #[cfg(feature = "sqlite")]
        "sqlite" => open_sqlite(&parts).await,
        #[cfg(feature = "postgres")]
        "postgres" | "postgresql" => {
            use crate::drivers::sql::postgres::{Options, Postgres};
            // It has its own parts: a password may hold whatever stands between them.
            Ok(Arc::new(Postgres::open(&AGENTKEEP, Options::from_url(url)?).await?))
        }
        #[cfg(feature = "redis")]
        "redis" | "rediss" => {
            use crate::drivers::redis::{Options, Redis};
            Ok(Arc::new(Redis::open(&AGENTKEEP, Options::from_url(url)?).await?))
        }
        scheme => Err(unknown_scheme(scheme)),
    }
}

/// The SQL that makes the store that `url` names (`from` = 0), or brings one of format `from` up to
/// date: for roles that may not do it themselves. Nothing is connected to; for a driver's name alone
/// it is the SQL for the schema that URLs name by default.
///
/// # Errors
/// `InvalidInput` for a URL that is wrong, and for a format that this version does not know;
/// `Unsupported` for a driver that runs no SQL of its user's.
pub fn sql(url: &str, from: u32) -> Result<Vec<String>> {
    let scheme = url.split_once(':').map_or(url, |(scheme, _)| scheme);
    #[cfg(feature = "postgres")]
    if ["postgres", "postgresql"].contains(&scheme) {
        use crate::drivers::sql::postgres::{Options, Postgres};
        let place = match url.split_once(':') {
            Some(_) => Options::from_url(url)?.schema,
            None => "agentkeep".to_owned(),
        };
        if from > AGENTKEEP.version {
            let newest = AGENTKEEP.version;
            let message = format!("there is no format {from}: this agentkeep knows up to {newest}");
            return Err(Error::new(Kind::InvalidInput, message)
                .advice("give the format that the store has, or use a newer agentkeep"));
        }
        return Ok(Postgres::statements(&AGENTKEEP, &place, from));
    }
    let _ = from;
    let known = ["memory", "file", "sqlite"].contains(&scheme) || LATER.contains(&scheme);
    if !known {
        return Err(unknown_scheme(scheme));
    }
    Err(Error::new(Kind::Unsupported, format!("{scheme}: shows no SQL"))
        .advice("it is for PostgreSQL, in builds that have it"))
}

#[cfg(unix)]
async fn open_file(parts: &Parts<'_>) -> Result<Arc<dyn Driver>> {
    use crate::drivers::file::{Files, Options};
    let mut options = Options::default();
    parts.refuse_unknown(&["durability", "create", "network_fs", "upgrade", "timeout"])?;
    for (name, value) in &parts.options {
        match name.as_str() {
            "durability" => options.durability = value.parse()?,
            "create" => options.create = yes_or_no(name, value)?,
            "network_fs" => options.network_fs = yes_or_no(name, value)?,
            "upgrade" => options.upgrade = yes_or_no(name, value)?,
            _ => options.timeout = seconds(name, value)?,
        }
    }
    if parts.path.is_empty() {
        return Err(Error::new(Kind::InvalidInput, "file: names no folder")
            .advice("write for example file:./keep"));
    }
    Ok(Arc::new(Files::open(&AGENTKEEP, &PathBuf::from(&parts.path), options).await?))
}

fn seconds(name: &str, value: &str) -> Result<std::time::Duration> {
    Ok(std::time::Duration::from_secs(number(name, value, 3600)? as u64))
}

#[cfg(feature = "sqlite")]
async fn open_sqlite(parts: &Parts<'_>) -> Result<Arc<dyn Driver>> {
    use crate::drivers::sql::sqlite::{Options, Sqlite};
    let mut options = Options::default();
    parts.refuse_unknown(&[
        "durability",
        "create",
        "network_fs",
        "upgrade",
        "readers",
        "timeout",
    ])?;
    for (name, value) in &parts.options {
        match name.as_str() {
            "durability" => options.durability = value.parse()?,
            "create" => options.create = yes_or_no(name, value)?,
            "network_fs" => options.network_fs = yes_or_no(name, value)?,
            "upgrade" => options.upgrade = yes_or_no(name, value)?,
            "readers" => options.readers = number(name, value, 64)?,
            _ => options.timeout = seconds(name, value)?,
        }
    }
    let path = if parts.path.is_empty() { default_path()? } else { PathBuf::from(&parts.path) };
    Ok(Arc::new(Sqlite::open(&AGENTKEEP, &path, options).await?))
}

/// `data/keep.db` in the base folder.
#[cfg(feature = "sqlite")]
fn default_path() -> Result<PathBuf> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let base = set("AGENTKEEP_DIR").or_else(|| Some(set("HOME")?.join(".agentkeep")));
    base.map(|base| base.join("data").join("keep.db")).ok_or_else(|| {
        Error::new(Kind::InvalidInput, "there is no home folder to keep the default store in")
            .advice("set AGENTKEEP_DIR, or name the file: sqlite:./keep.db")
    })
}

#[derive(Debug)]
struct Parts<'a> {
    scheme: &'a str,
    path: String,
    options: Vec<(String, String)>,
}

impl<'a> Parts<'a> {
    fn of(url: &'a str) -> Result<Self> {
        let Some((scheme, rest)) = url.split_once(':') else {
            return Err(Error::new(Kind::InvalidInput, "the store URL has no scheme")
                .advice(format!("write for example sqlite:./keep.db; there are {SCHEMES}")));
        };
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let path = path.strip_prefix("//").unwrap_or(path);
        let mut options: Vec<(String, String)> = Vec::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let name = decoded(name)?;
            if options.iter().any(|(known, _)| *known == name) {
                let message = format!("the option {name} stands twice in the store URL");
                return Err(Error::new(Kind::InvalidInput, message).advice("give it once"));
            }
            options.push((name, decoded(value)?));
        }
        Ok(Self { scheme, path: decoded(path)?, options })
    }

    fn refuse_path(&self) -> Result<()> {
        if self.path.is_empty() {
            return Ok(());
        }
        Err(Error::new(Kind::InvalidInput, format!("{}: takes no path", self.scheme))
            .advice(format!("write {}:", self.scheme)))
    }

    fn refuse_unknown(&self, known: &[&str]) -> Result<()> {
        match self.options.iter().find(|(name, _)| !known.contains(&name.as_str())) {
            None => Ok(()),
            Some((name, _)) => {
                let message = format!("{}: has no option {name:?}", self.scheme);
                let advice = match known {
                    [] => "it takes none".to_owned(),
                    known => format!("there are {}", known.join(", ")),
                };
                Err(Error::new(Kind::InvalidInput, message).advice(advice))
            }
        }
    }
}

/// What a URL is taken apart into, for the fuzz targets: scheme, path, options.
///
/// # Errors
/// As for [`open`].
#[cfg(feature = "conformance")]
#[doc(hidden)]
#[allow(clippy::type_complexity, reason = "for the fuzz targets alone")]
pub fn taken_apart(url: &str) -> Result<(String, String, Vec<(String, String)>)> {
    Parts::of(url).map(|parts| (parts.scheme.to_owned(), parts.path, parts.options))
}

fn decoded(text: &str) -> Result<String> {
    percent_encoding::percent_decode_str(text).decode_utf8().map(Into::into).map_err(|error| {
        Error::new(Kind::InvalidInput, "the store URL is not UTF-8 after decoding").caused_by(error)
    })
}

fn yes_or_no(name: &str, value: &str) -> Result<bool> {
    match value {
        "yes" | "" => Ok(true),
        "no" => Ok(false),
        _ => Err(Error::new(Kind::InvalidInput, format!("{name}={value} is neither yes nor no"))
            .advice(format!("write {name}=yes or {name}=no"))),
    }
}

fn number(name: &str, value: &str, most: usize) -> Result<usize> {
    match value.parse() {
        Ok(number) if (1..=most).contains(&number) => Ok(number),
        _ => Err(Error::new(Kind::InvalidInput, format!("{name}={value} is out of range"))
            .advice(format!("give a number from 1 to {most}"))),
    }
}

fn unknown_scheme(scheme: &str) -> Error {
    if ["file", "sqlite"].contains(&scheme) || LATER.contains(&scheme) {
        return Error::new(Kind::Unsupported, format!("this build has no driver for {scheme}:"))
            .advice(format!("it has {SCHEMES}"));
    }
    Error::new(Kind::InvalidInput, format!("unknown store URL scheme {scheme:?}"))
        .advice(format!("there are {SCHEMES}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(url: &str) -> Error {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(open(url)).unwrap_err()
    }

    #[test]
    fn says_what_there_is() {
        for (url, kind, word) in [
            ("keep.db", Kind::InvalidInput, "sqlite:"),
            ("sqlit:./keep.db", Kind::InvalidInput, "sqlite:"),
            ("mongodb://localhost", Kind::Unsupported, "sqlite:"),
            ("memory:?durability=power", Kind::InvalidInput, "takes none"),
            ("memory:here", Kind::InvalidInput, "memory:"),
            ("sqlite:./x.db?durabilty=power", Kind::InvalidInput, "durability"),
            ("sqlite:./x.db?durability=maybe", Kind::InvalidInput, "power"),
            ("sqlite:./x.db?readers=0", Kind::InvalidInput, "1 to 64"),
            ("sqlite:./x.db?upgrade=perhaps", Kind::InvalidInput, "upgrade=yes"),
            ("sqlite:./x.db?upgrade=no&upgrade=no", Kind::InvalidInput, "once"),
        ] {
            let error = refused(url);
            assert_eq!(error.kind(), kind, "{url}: {error}");
            assert!(error.to_string().contains(word), "{url}: {error}");
        }
    }

    #[test]
    #[cfg(feature = "sqlite")]
    fn a_store_that_is_not_there_is_made_only_if_wanted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sub/keep.db");
        let error = refused(&format!("sqlite:{}?create=no", path.display()));
        assert_eq!(error.kind(), Kind::NotFound, "{error}");
        assert!(!path.parent().unwrap().exists());
    }

    #[test]
    #[cfg(feature = "postgres")]
    fn sql_is_for_the_schema_that_the_url_names() {
        let all = sql("postgres://u@h/d?schema=here", 0).unwrap();
        assert!(all.iter().any(|sql| sql.contains("CREATE TABLE \"here\".\"messages\"")));
        let more = sql("postgres", 1).unwrap();
        assert!(!more.iter().any(|sql| sql.contains("CREATE TABLE \"agentkeep\".\"messages\"")));
        assert!(more.iter().any(|sql| sql.contains("\"agentkeep\".\"_commit_")));
        assert_eq!(sql("sqlite:x", 0).unwrap_err().kind(), Kind::Unsupported);
        assert_eq!(sql("nothing", 0).unwrap_err().kind(), Kind::InvalidInput);
    }

    #[test]
    fn paths_are_decoded() {
        let parts = Parts::of("sqlite:///tmp/a%3Fb%20c.db?durability=process").unwrap();
        assert_eq!((parts.scheme, parts.path.as_str()), ("sqlite", "/tmp/a?b c.db"));
        assert_eq!(Parts::of("sqlite:./keep.db").unwrap().path, "./keep.db");
        assert_eq!(Parts::of("sqlite:").unwrap().path, "");
    }
}
