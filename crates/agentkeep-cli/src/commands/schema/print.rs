//! `schema print`.

use std::fmt::Write as _;
use std::process::ExitCode;

use agentkeep::schema::{AGENTKEEP, BUILT_IN, Field, Index, Order, Table};
use serde::Serialize;
use serde_json::{Value, json};

use crate::args::{Global, SchemaPrint};
use crate::commands::Outcome;
use crate::output;

#[derive(Debug, Serialize)]
struct Document {
    schema: &'static str,
    version: u32,
    tables: Vec<Value>,
    logs: Vec<&'static str>,
    views: Vec<&'static str>,
}

/// Prints the declaration that every driver reads.
pub(super) fn run(global: &Global, args: &SchemaPrint) -> Outcome {
    if let Some(url) = &args.sql {
        return sql(global, url, args.from);
    }
    let tables = || BUILT_IN.iter().chain(AGENTKEEP.tables);
    if global.json {
        output::print_json(&Document {
            schema: AGENTKEEP.name,
            version: AGENTKEEP.version,
            tables: tables().map(|table| document(table)).collect(),
            logs: AGENTKEEP.logs.iter().map(|log| log.name).collect(),
            views: AGENTKEEP.views.iter().map(|view| view.name).collect(),
        })?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut out = format!("schema {}, format {}\n", AGENTKEEP.name, AGENTKEEP.version);
    for table in tables() {
        let _ = writeln!(out, "\ntable {} (key: {})", table.name, table.key.join(", "));
        for field in table.fields {
            let _ = writeln!(out, "  field {}  from {}", field.name, path(field));
        }
        for index in table.indexes {
            let _ = writeln!(out, "  index {}  over {}", index.name, fields(index).join(", "));
        }
    }
    for log in AGENTKEEP.logs {
        let _ = writeln!(out, "\nlog {}", log.name);
    }
    for view in AGENTKEEP.views {
        let (table, log) = (view.table.name, view.log.name);
        let _ = writeln!(out, "\nview {}  of {log}, by {table}.{}", view.name, view.member);
    }
    output::print_long(&out)?;
    Ok(ExitCode::SUCCESS)
}

/// Prints the SQL that a server needs.
fn sql(global: &Global, url: &str, from: u32) -> Outcome {
    let statements = agentkeep::urls::sql(url, from)?;
    if global.json {
        output::print_json(&statements)?;
    } else {
        let lines: Vec<String> = statements.iter().map(|sql| format!("{sql};\n")).collect();
        output::print_long(&lines.concat())?;
    }
    Ok(ExitCode::SUCCESS)
}

fn document(table: &Table) -> Value {
    let field =
        |field: &Field| json!({ "name": field.name, "path": field.path, "many": field.many });
    let index = |index: &Index| json!({ "name": index.name, "fields": fields(index) });
    json!({
        "name": table.name,
        "key": table.key,
        "fields": table.fields.iter().map(field).collect::<Vec<_>>(),
        "indexes": table.indexes.iter().map(index).collect::<Vec<_>>(),
    })
}

fn path(field: &Field) -> String {
    format!("{}{}", field.path.join("."), if field.many { "[]" } else { "" })
}

fn fields(index: &Index) -> Vec<String> {
    let order = |order: &Order| if *order == Order::Descending { " desc" } else { "" };
    index.fields.iter().map(|(name, by)| format!("{name}{}", order(by))).collect()
}
