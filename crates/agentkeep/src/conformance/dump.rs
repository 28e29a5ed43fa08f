//! Everything in a namespace as text, through the seam alone: for comparing stores.

use std::fmt::Write as _;

use crate::driver::{Find, Read, Reader, Stretch, Want, Which};
use crate::error::{Error, Kind, Result};
use crate::schema::{BLOBS, BY_KEY, Namespace, STREAMS, Schema, Stream};

/// A canonical dump of what a driver or a snapshot shows: records with versions, turns and references; streams with their heads and
/// entries; blobs. What differs between two equal stores (times, birth tokens, versions
/// of built-in records) is left out.
///
/// # Errors
/// What the driver says.
pub async fn dump(reader: &dyn Reader, schema: &Schema, namespace: &Namespace) -> Result<String> {
    let mut out = String::new();
    let mut line = |text: String| {
        writeln!(out, "{text}").map_err(|error| {
            Error::new(Kind::Unavailable, "the dump cannot be written").caused_by(error)
        })
    };
    for table in schema.tables {
        let mut find = Find::new(table, &BY_KEY);
        loop {
            let found = reader.find(namespace, &find).await?;
            for r in found.records {
                line(format!("{} v{} {:?} {:?} {}", r.key, r.version, r.turn, r.refs, r.body))?;
            }
            match found.next {
                Some(next) => find.after = Some(next),
                None => break,
            }
        }
    }
    let streams = reader.find(namespace, &Find::new(&STREAMS, &BY_KEY)).await?;
    for record in streams.records {
        let parts: Vec<&str> = record.key.parts().collect();
        let (Some(log), Some(name)) = (parts.first().and_then(|l| schema.log(l)), parts.get(1))
        else {
            continue;
        };
        let stretch = Stretch { stream: Stream::new(name)?, from: 1, to: u64::MAX };
        let read =
            Read { log, which: Which::Stretches(vec![stretch]), reverse: false, limit: 10_000 };
        let found = reader.read(namespace, &read).await?;
        let head = found.heads.first().and_then(Option::as_ref).map(|head| {
            format!("{}..{} {} entries {} bytes", head.first, head.last, head.count, head.bytes)
        });
        line(format!("stream {} {name:?} {head:?}", log.name))?;
        for e in found.entries {
            let rewritten = e.rewritten.is_some();
            line(format!(
                "  {} {:?} {:?} {rewritten} {:?} {}",
                e.number, e.id, e.turn, e.refs, e.body
            ))?;
        }
    }
    let blobs = reader.find(namespace, &Find::new(&BLOBS, &BY_KEY)).await?;
    for record in blobs.records {
        let [size, references, since] =
            record.body.raw_members(["size", "references", "unreferencedSince"]);
        let hash = crate::driver::Hash::from_hex(record.key.first())?;
        let present = reader.blobs(namespace, &[hash], Want::Bytes).await?;
        let whole = present.iter().all(Option::is_some);
        line(format!("blob {hash} {size:?} {references:?} {} {whole}", since.is_some()))?;
    }
    Ok(out)
}
