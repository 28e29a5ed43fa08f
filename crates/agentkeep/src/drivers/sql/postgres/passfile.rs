//! Passwords from a file of lines `host:port:database:user:password`, as all PostgreSQL clients
//! read it: `*` stands for anything, and `\` before a colon or itself.

use std::path::PathBuf;

use super::options::Options;
use crate::drivers::server::secret::refuse_open;
use crate::error::Result;

/// The password for the store; `None` when the file has none, or was not named and is not there.
pub(super) fn password(named: Option<PathBuf>, options: &Options) -> Result<Option<String>> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let named = named.or_else(|| set("PGPASSFILE"));
    let Some(path) = named.clone().or_else(|| Some(set("HOME")?.join(".pgpass"))) else {
        return Ok(None);
    };
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(_) if named.is_none() => return Ok(None),
        Err(error) => {
            return Err(crate::drivers::io_error(
                &error,
                "the file of passwords cannot be read",
                &path,
            ));
        }
    };
    refuse_open(&path)?;
    Ok(text.lines().find_map(|line| matching(line, options)))
}

fn matching(line: &str, options: &Options) -> Option<String> {
    if line.starts_with('#') {
        return None;
    }
    let mut fields = vec![String::new()];
    let mut characters = line.chars();
    while let Some(c) = characters.next() {
        match (c, fields.len()) {
            ('\\', _) => fields.last_mut()?.extend(characters.next()),
            // The password is the rest.
            (':', ..5) => fields.push(String::new()),
            _ => fields.last_mut()?.push(c),
        }
    }
    let [host, port, database, user, password] = fields.try_into().ok()?;
    let is = |field: &str, value: &str| field == "*" || field == value;
    let same_host = |(name, at): &(String, u16)| {
        let name = if name.starts_with('/') { "localhost" } else { name };
        is(&host, name) && is(&port, &at.to_string())
    };
    let fits = is(&database, &options.database) && is(&user, &options.user);
    (fits && options.hosts.iter().any(same_host)).then_some(password)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_match_by_their_fields() {
        let options = Options::from_url("postgres://u:x@h:1/d").unwrap();
        for (line, password) in [
            ("h:1:d:u:secret", Some("secret")),
            ("*:*:*:*:a:b", Some("a:b")),
            (r"*:*:*:u:a\:\\b", Some(r"a:\b")),
            ("other:*:*:*:secret", None),
            ("h:1:d", None),
            ("#*:*:*:*:secret", None),
        ] {
            assert_eq!(matching(line, &options).as_deref(), password, "{line}");
        }
    }
}
