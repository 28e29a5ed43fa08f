//! Parts of the URLs of servers.
//!
//! Nothing here repeats a part of the URL in an error but the names of options: the rest may be a
//! password.

use percent_encoding::percent_decode_str;

use crate::driver::Durability;
use crate::error::{Error, Kind, Result};

fn invalid(message: impl Into<String>) -> Error {
    Error::new(Kind::InvalidInput, message)
}

/// A part of a URL as it was meant.
pub(in crate::drivers) fn decoded(text: &str) -> Result<String> {
    let decoded = percent_decode_str(text).decode_utf8();
    let decoded = decoded.map_err(|_| invalid("the store URL is not UTF-8 after decoding"))?;
    if decoded.contains('\0') {
        return Err(invalid("the store URL holds a zero byte"));
    }
    Ok(decoded.into_owned())
}

/// Refuses what is most likely a password with characters that end it: else a part of it would be taken for a
/// host, a database or an option, and be shown as one.
pub(in crate::drivers) fn refuse_open_secret(
    authority: &str,
    database: &str,
    query: &str,
) -> Result<()> {
    let mut names = query.split('&').filter_map(|pair| pair.split('=').next());
    // `user:password` without a host behind it, not `host:port`.
    let no_port = |part: &str| {
        part.rsplit_once(':')
            .is_some_and(|(_, port)| port.parse::<u16>().is_err() && !port.ends_with(']'))
    };
    let cut = !authority.contains('@') && authority.split(',').any(no_port);
    let open = database.contains('@')
        || names.any(|name| name.contains('@'))
        || (cut && query.contains('@'));
    if !open {
        return Ok(());
    }
    Err(invalid("the store URL has an @ where no user can be").advice(
        "in users, passwords and databases write / as %2F, ? as %3F, @ as %40 and % as %25",
    ))
}

/// What an option that is not known is called, if that is a name at all, and no part of a password.
pub(in crate::drivers) fn no_option(
    driver: &str,
    (name, query): (&str, &str),
    known: &[&str],
) -> Error {
    let is_name = !query.contains('@')
        && name.len() <= 20
        && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
    let name = if is_name { format!("{name:?}") } else { "of such a name".to_owned() };
    invalid(format!("{driver}: has no option {name}"))
        .advice(format!("there are {}", known.join(", ")))
}

/// A variable of the environment, if it is set and not empty.
pub(in crate::drivers) fn set(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// The value of a switch.
pub(in crate::drivers) fn yes_or_no(name: &str, value: &str) -> Result<bool> {
    match value {
        "yes" | "" => Ok(true),
        "no" => Ok(false),
        _ => Err(invalid(format!("{name}= is neither yes nor no"))
            .advice(format!("write {name}=yes or {name}=no"))),
    }
}

/// How safe an acknowledged commit is to be: on a server there is no third way.
pub(in crate::drivers) fn durability(value: &str) -> Result<Durability> {
    match value.parse() {
        Ok(found @ (Durability::Power | Durability::Process)) => Ok(found),
        _ => Err(invalid("durability= is not known")
            .advice("write durability=power or durability=process")),
    }
}

/// For certificates that would not be looked at.
pub(in crate::drivers) fn not_encrypted(option: &str, advice: &str) -> Error {
    invalid(format!("{option}= is given, but the connection would not be encrypted")).advice(advice)
}

/// A number from 1 to `most`.
pub(in crate::drivers) fn number(name: &str, value: &str, most: usize) -> Result<usize> {
    match value.parse() {
        Ok(number) if (1..=most).contains(&number) => Ok(number),
        _ => Err(invalid(format!("{name}= is out of range"))
            .advice(format!("give a number from 1 to {most}"))),
    }
}

/// Hosts with their ports, separated by commas.
pub(in crate::drivers) fn hosts(text: &str, default_port: u16) -> Result<Vec<(String, u16)>> {
    let host = |text: &str| {
        let bad_port = || invalid("the store URL has a port that is none");
        // An address of version 6 has colons of its own, and brackets around them.
        let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((host, "")) => (host, None),
            Some((host, port)) => (host, Some(port.strip_prefix(':').ok_or_else(bad_port)?)),
            None => match text.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (text, None),
            },
        };
        let port = port.filter(|port| !port.is_empty()).map(str::parse).transpose();
        let port = port.map_err(|_| bad_port())?.unwrap_or(default_port);
        Ok((decoded(host)?, port))
    };
    text.split(',').map(host).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_options_may_have_an_at_and_passwords_may_not() {
        for authority in ["", "h", "h:7", "[::1]", "[::1]:7,h", "u:p@h:7"] {
            assert!(refuse_open_secret(authority, "d", "base=a@b").is_ok(), "{authority}");
        }
        for (authority, database, query) in
            [("u:p", "d", "x=y@h"), ("u:p", "", "y@h/d"), ("u:7", "y@h", ""), ("u:p@7", "y@h", "")]
        {
            let refused = refuse_open_secret(authority, database, query);
            assert_eq!(refused.unwrap_err().kind(), Kind::InvalidInput, "{authority}");
        }
    }
}
