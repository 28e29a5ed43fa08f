//! The function that commits, made from the schema: `commit.sql` is its frame, here is what it
//! does to each table and log.
//!
//! It takes batches as flat arrays ([`encode`](super::encode)) and answers one line for each
//! ([`answer`](super::answer)). Every statement in it is static, so the server plans it once a
//! session; nothing that comes from outside is ever part of one.

use std::fmt::Write as _;

use super::append_sql;
use super::columns::columns;
use super::ddl::{id_index, unless, within};
use crate::drivers::sql::shape::{is_list_index, key_columns, quoted, side_table};
use crate::schema::{BLOBS, Index, Log, NAMESPACES, STREAMS, Schema, Table};

const FRAME: &str = include_str!("commit.sql");
const KNOWN: &str = include_str!("known.sql");

/// The parameters of the function, in order.
pub(super) const PARAMETERS: [(&str, &str); 34] = [
    ("p_token", "uuid"),
    ("p_time", "bigint"),
    ("p_locks", "bigint[]"),
    ("p_exclusive", "boolean[]"),
    ("p_listeners", "bigint"),
    ("p_channel", "text"),
    ("b_namespace", "text[]"),
    ("b_turn", "text[]"),
    ("b_operation", "text[]"),
    ("b_digest", "bytea[]"),
    ("b_eager", "boolean[]"),
    ("b_answers", "boolean[]"),
    ("b_name_lock", "bigint[]"),
    ("b_from", "integer[]"),
    ("b_to", "integer[]"),
    ("s_kind", "text[]"),
    ("s_what", "text[]"),
    ("s_key", "text[]"),
    ("s_number", "bigint[]"),
    ("s_text", "text[]"),
    ("s_refs", "text[]"),
    ("s_size", "bigint[]"),
    ("s_from", "integer[]"),
    ("s_to", "integer[]"),
    ("s_list_from", "integer[]"),
    ("s_list_to", "integer[]"),
    ("e_id", "text[]"),
    ("e_body", "text[]"),
    ("e_refs", "text[]"),
    ("f_text", "text[]"),
    ("f_number", "text[]"),
    ("l_field", "integer[]"),
    ("l_text", "text[]"),
    ("l_number", "text[]"),
];

/// The last parameter.
pub(super) const BYTES: (&str, &str) = ("x_bytes", "bytea[]");

/// What the commit functions are called: their names carry a checksum of their text.
pub(super) fn name(schema: &Schema, place: &str) -> String {
    within(place, &plain_name(schema))
}

/// The same without its schema.
pub(super) fn plain_name(schema: &Schema) -> String {
    format!("_commit_{}", revision(schema))
}

fn known_name(schema: &Schema, place: &str) -> String {
    within(place, &format!("_known_{}", revision(schema)))
}

/// The checksum of what all functions do: made together, they are there together.
pub(super) fn revision(schema: &Schema) -> String {
    // Whatever place the functions are in, and whatever they are called.
    let appends = schema.logs.iter().map(|log| append_sql::body(schema, log, ""));
    let types = super::lone::create("").concat();
    let text =
        body(schema, "", "") + &known_body(schema, "") + &appends.collect::<String>() + &types;
    let hash = blake3::hash(text.as_bytes()).to_hex();
    hash.as_str()[..12].to_owned()
}

/// The statements that make the functions.
pub(super) fn create(schema: &Schema, place: &str) -> Vec<String> {
    let known = known_name(schema, place);
    let parameters: Vec<String> = PARAMETERS
        .iter()
        .chain([&BYTES])
        .map(|(name, type_name)| format!("{name} {type_name}"))
        .collect();
    let mut statements = vec![
        format!(
            "CREATE OR REPLACE FUNCTION {known}(p_namespace text, p_from integer, p_to integer, \
             s_kind text[], s_what text[], s_key text[], s_text text[], s_from integer[], \
             s_to integer[], e_id text[], e_body text[]) RETURNS text LANGUAGE plpgsql \
             SET search_path = pg_catalog AS $agentkeep$\n{}$agentkeep$",
            known_body(schema, place)
        ),
        format!(
            "CREATE OR REPLACE FUNCTION {}({}) RETURNS text LANGUAGE plpgsql \
             SET search_path = pg_catalog AS $agentkeep$\n{}$agentkeep$",
            name(schema, place),
            parameters.join(", "),
            body(schema, place, &known)
        ),
    ];
    statements.extend(append_sql::create(schema, place));
    statements
}

const OWN: [&str; 7] =
    ["_operations", "_commits", "_floors", "_streams", "_blobs", "_blob_bytes", "_namespaces"];

pub(super) fn placed(text: &str, place: &str) -> String {
    OWN.iter().fold(text.to_owned(), |text, name| {
        text.replace(&format!("@{name}@"), &within(place, name))
    })
}

fn known_body(schema: &Schema, place: &str) -> String {
    let by_id = logs(schema, |log| {
        format!(
            "SELECT m.seq, m.body::text INTO v_seq, v_body FROM {} m \
             WHERE m.stream_no = v_no AND m.id = e_id[x];",
            within(place, log.name)
        )
    });
    placed(&KNOWN.replace("@by id@\n", &by_id), place)
}

fn body(schema: &Schema, place: &str, known: &str) -> String {
    let tables: Vec<&Table> =
        std::iter::once(&NAMESPACES).chain(schema.tables.iter().copied()).collect();
    let of_tables = |make: &dyn Fn(&Table) -> String| -> String {
        tables.iter().map(|table| when(table.name, &make(table))).collect()
    };
    let log_name = |log: &Log| within(place, log.name);
    let ids: Vec<String> = schema.logs.iter().map(|log| format!("'{}'", id_index(log))).collect();
    let parts = [
        ("@append one@\n", logs(schema, |log| append_one(&log_name(log)))),
        ("@append all@\n", logs(schema, |log| append_all(&log_name(log)))),
        ("@entry@\n", logs(schema, |log| entry(&log_name(log)))),
        ("@rewrite@\n", logs(schema, |log| rewrite(&log_name(log)))),
        ("@remove@\n", logs(schema, |log| remove(&log_name(log)))),
        ("@look@\n", of_tables(&|table| look(table, place)) + &look_built_in(place)),
        ("@put@\n", of_tables(&|table| put(table, place))),
        ("@delete@\n", of_tables(&|table| delete(table, place))),
        ("@norecord@\n", norecord(&tables, place)),
        ("@holds@", holds(schema, place)),
        ("@id indexes@", format!("ARRAY[{}]::text[]", ids.join(", "))),
        ("@refer@\n", REFER.to_owned()),
        ("@release@\n", RELEASE.to_owned()),
        ("@_known@", known.to_owned()),
    ];
    let text = parts.iter().fold(FRAME.to_owned(), |text, (mark, part)| text.replace(mark, part));
    placed(&text, place)
}

fn when(name: &str, code: &str) -> String {
    format!("WHEN '{name}' THEN {code}\n")
}

fn logs(schema: &Schema, make: impl Fn(&Log) -> String) -> String {
    schema.logs.iter().map(|log| when(log.name, &make(log))).collect()
}

/// Counts a reference to each of `v_hashes`.
const REFER: &str = "\
UPDATE @_blobs@ t SET reference_count = t.reference_count + 1, unreferenced_since = NULL, version = t.version + 1
  WHERE t.namespace = v_ns AND t.hash = ANY(v_hashes);
GET DIAGNOSTICS v_count = ROW_COUNT;
IF v_count <> cardinality(v_hashes) THEN
  SELECT min(h) INTO v_text FROM unnest(v_hashes) h
    WHERE NOT EXISTS (SELECT FROM @_blobs@ t WHERE t.namespace = v_ns AND t.hash = h);
  RAISE EXCEPTION USING ERRCODE = 'AK001', MESSAGE = concat_ws(' ', 'no', i, 'noblob', v_text);
END IF;
";

/// Takes a reference to each of `v_hashes` away.
const RELEASE: &str = "\
UPDATE @_blobs@ t SET reference_count = t.reference_count - 1, version = t.version + 1,
  unreferenced_since = CASE WHEN t.reference_count = 1 THEN v_time END
  WHERE t.namespace = v_ns AND t.hash = ANY(v_hashes);
";

const ENTRY: &str = "(stream_no, seq, id, body, time, turn, rewritten, refs)";

fn append_one(log: &str) -> String {
    format!(
        "INSERT INTO {log}{ENTRY} \
         VALUES (v_no, v_n, e_id[x], e_body[x]::json, v_time, v_turn, NULL, e_refs[x]);"
    )
}

fn append_all(log: &str) -> String {
    format!(
        "IF v_n = 1 THEN INSERT INTO {log}{ENTRY} VALUES (v_no, v_start, e_id[s_from[i]], \
         e_body[s_from[i]]::json, v_time, v_turn, NULL, NULL); \
         ELSE INSERT INTO {log}{ENTRY} SELECT v_no, v_start + x - s_from[i], e_id[x], \
         e_body[x]::json, v_time, v_turn, NULL, NULL \
         FROM generate_series(s_from[i], s_to[i]) AS x; END IF;"
    )
}

fn entry(log: &str) -> String {
    format!(
        "SELECT m.body::text, m.refs INTO v_text, v_refs FROM {log} m \
         WHERE m.stream_no = v_no AND m.seq = s_number[i];"
    )
}

fn rewrite(log: &str) -> String {
    format!(
        "UPDATE {log} m SET body = s_text[i]::json, rewritten = v_time, refs = s_refs[i] \
         WHERE m.stream_no = v_no AND m.seq = s_number[i];"
    )
}

/// Removes the entries below `v_start`; counts them in `v_n`, and their bytes in `v_bytes`.
fn remove(log: &str) -> String {
    format!(
        "UPDATE @_blobs@ t SET reference_count = t.reference_count - g.n, version = t.version + 1, \
         unreferenced_since = CASE WHEN t.reference_count = g.n THEN v_time END \
         FROM (SELECT r.hash, count(*) AS n FROM {log} m \
         CROSS JOIN LATERAL json_array_elements_text(m.refs::json) AS r(hash) \
         WHERE m.stream_no = v_no AND m.seq < v_start AND m.refs IS NOT NULL GROUP BY r.hash) g \
         WHERE t.namespace = v_ns AND t.hash = g.hash; \
         WITH gone AS (DELETE FROM {log} m WHERE m.stream_no = v_no AND m.seq < v_start \
         RETURNING octet_length(m.body::text) AS size) \
         SELECT count(*), coalesce(sum(size), 0) INTO v_n, v_bytes FROM gone; \
         SELECT min(m.seq) INTO v_first FROM {log} m WHERE m.stream_no = v_no;"
    )
}

/// The condition that a row is the one with `v_key`.
fn same_key(table: &Table) -> String {
    if table.name == NAMESPACES.name {
        return "t.namespace = v_key[1]".to_owned();
    }
    table.key.iter().enumerate().fold("t.namespace = v_ns".to_owned(), |mut text, (i, key)| {
        let _ = write!(text, " AND t.{} = v_key[{}]", quoted(key), i + 1);
        text
    })
}

fn look(table: &Table, place: &str) -> String {
    format!(
        "SELECT t.version, t.refs INTO v_found, v_refs FROM {} t WHERE {};",
        within(place, table.name),
        same_key(table)
    )
}

fn look_built_in(place: &str) -> String {
    [&STREAMS, &BLOBS]
        .iter()
        .map(|table| {
            let look = format!(
                "SELECT t.version INTO v_found FROM {} t WHERE {};",
                within(place, table.name),
                same_key(table)
            );
            when(table.name, &look)
        })
        .collect()
}

/// The columns of a table's plain fields with the expressions of their new values.
fn field_values(table: &Table) -> Vec<(String, String)> {
    let mut values = Vec::new();
    for (i, field) in table.fields.iter().enumerate().filter(|(_, field)| !field.many) {
        let (text, number) = columns(table, field.name);
        values.extend(text.map(|text| (quoted(&text), format!("f_text[v_f + {i}]"))));
        values.push((quoted(&number), format!("f_number[v_f + {i}]::numeric")));
    }
    values
}

fn put(table: &Table, place: &str) -> String {
    let name = within(place, table.name);
    let mut values: Vec<(String, String)> = Vec::new();
    let mut parts = 0;
    for key in key_columns(table) {
        let value = if key == "namespace" {
            "v_ns".to_owned()
        } else {
            parts += 1;
            format!("v_key[{parts}]")
        };
        values.push((quoted(key), value));
    }
    let keys = values.len();
    values.extend(field_values(table));
    for (column, value) in [
        ("version", "v_version"),
        ("turn", "v_turn"),
        ("refs", "s_refs[i]"),
        ("body", "s_text[i]::json"),
    ] {
        values.push((column.to_owned(), value.to_owned()));
    }
    let columns: Vec<&str> = values.iter().map(|(column, _)| column.as_str()).collect();
    let new: Vec<&str> = values.iter().map(|(_, value)| value.as_str()).collect();
    let sets: Vec<String> =
        values[keys..].iter().map(|(column, value)| format!("{column} = {value}")).collect();
    let mut text = format!(
        "IF v_found = 0 THEN INSERT INTO {name}({}) VALUES ({}); \
         ELSE UPDATE {name} t SET {} WHERE {}; {} END IF;",
        columns.join(", "),
        new.join(", "),
        sets.join(", "),
        same_key(table),
        unlist(table, place),
    );
    for index in list_indexes(table) {
        text += " ";
        text += &list(table, index, place);
    }
    text
}

fn list_indexes(table: &Table) -> impl Iterator<Item = &'static Index> + use<'_> {
    let indexes: &'static [Index] = table.indexes;
    indexes.iter().filter(move |index| is_list_index(table, index))
}

/// Takes a record out of its list indexes.
fn unlist(table: &Table, place: &str) -> String {
    list_indexes(table).fold(String::new(), |mut text, index| {
        let side = within(place, &side_table(table, index));
        let _ = write!(text, "DELETE FROM {side} t WHERE {}; ", same_key(table));
        text
    })
}

/// Puts a record into a list index: a row for each element of the list.
fn list(table: &Table, index: &Index, place: &str) -> String {
    let (mut names, mut values) = (vec!["namespace".to_owned()], vec!["v_ns".to_owned()]);
    let mut of_list = 0;
    for (i, (field, _)) in index.fields.iter().enumerate() {
        let at = table.field(field).unwrap_or_default();
        let (text, number) = columns(table, field);
        names.extend(text.map(|text| quoted(&text)));
        names.push(quoted(&number));
        if i == 0 {
            of_list = at;
            values.extend(["l_text[x]".to_owned(), "l_number[x]::numeric".to_owned()]);
        } else {
            values
                .extend([format!("f_text[v_f + {at}]"), format!("f_number[v_f + {at}]::numeric")]);
        }
    }
    for (i, key) in table.key.iter().enumerate() {
        names.push(quoted(key));
        values.push(format!("v_key[{}]", i + 1));
    }
    format!(
        "IF s_list_to[i] >= s_list_from[i] THEN INSERT INTO {}({}) SELECT {} \
         FROM generate_series(s_list_from[i], s_list_to[i]) AS x WHERE l_field[x] = {of_list}; END IF;",
        within(place, &side_table(table, index)),
        names.join(", "),
        values.join(", "),
    )
}

fn delete(table: &Table, place: &str) -> String {
    let name = within(place, table.name);
    format!("{} DELETE FROM {name} t WHERE {};", unlist(table, place), same_key(table))
}

/// For every index whether a record has `s_text[i]` or the number `s_key[i]` as its first field.
fn norecord(tables: &[&Table], place: &str) -> String {
    let mut text = String::new();
    for table in tables.iter().copied().chain([&BLOBS]) {
        for index in table.indexes {
            let Some((field, _)) = index.fields.first() else { continue };
            let (text_column, number) = columns(table, field);
            let from = if is_list_index(table, index) {
                within(place, &side_table(table, index))
            } else {
                within(place, table.name)
            };
            let column = |name: &str| format!("t.{}", quoted(name));
            let text_is = |test: &str| match &text_column {
                Some(name) => format!(" AND {} {test}", column(name)),
                None => String::new(),
            };
            let unless = unless(table, index, "t.").map(|test| format!(" AND {test}"));
            let unless = unless.unwrap_or_default();
            // Three questions, so that each is a plain range of the index.
            let exists = |condition: &str| {
                format!("EXISTS (SELECT FROM {from} t WHERE t.namespace = v_ns{condition}{unless})")
            };
            let number = column(&number);
            let of_text = match &text_column {
                Some(_) => exists(&text_is("= s_text[i]")),
                None => "false".to_owned(),
            };
            let code = format!(
                "IF s_text[i] IS NOT NULL THEN v_yes := {of_text}; \
                 ELSIF s_key[i] IS NOT NULL THEN v_yes := {}; ELSE v_yes := {}; END IF;",
                exists(&format!("{} AND {number} = s_key[i]::numeric", text_is("IS NULL"))),
                exists(&format!("{} AND {number} IS NULL", text_is("IS NULL"))),
            );
            text += &when(&format!("{}.{}", table.name, index.name), &code);
        }
        if table.name != BLOBS.name {
            let scope = if table.name == NAMESPACES.name { "" } else { "t.namespace = v_ns AND " };
            let code = format!(
                "v_yes := EXISTS (SELECT FROM {} t WHERE {scope}t.turn = s_text[i]);",
                within(place, table.name)
            );
            text += &when(&format!("{}.turn", table.name), &code);
        }
    }
    text
}

fn holds(schema: &Schema, place: &str) -> String {
    let tables = schema.tables.iter().map(|table| table.name).chain(["_streams", "_blobs"]);
    tables
        .map(|table| {
            format!("EXISTS (SELECT FROM {} t WHERE t.namespace = v_ns)", within(place, table))
        })
        .collect::<Vec<_>>()
        .join(" OR ")
}
