//! The tagged values of the vectors, and comparing with what they expect.

use std::collections::HashMap;

use agentkeep::{Json, ObjectEditor};

use crate::support::Not;

/// The one tag of a value, if it is tagged.
fn tag(json: &Json) -> Option<(String, Json)> {
    let mut members = json.members();
    let first = members.next().filter(|(name, _)| name.starts_with('$'))?;
    members.next().is_none().then_some(first)
}

fn utf16(hex: &Json) -> Result<Json, Not> {
    let hex = hex.to_text().unwrap();
    let units: Vec<u16> = (0..hex.len() / 4)
        .map(|unit| u16::from_str_radix(&hex[unit * 4..unit * 4 + 4], 16).unwrap())
        .collect();
    String::from_utf16(&units).map(|text| Json::string(&text)).map_err(|_| Not::Askable("utf16"))
}

fn object(members: impl IntoIterator<Item = (String, Option<Json>)>) -> Json {
    let mut object = ObjectEditor::default();
    for (name, value) in members {
        if let Some(value) = value {
            object.set(&name, &value);
        }
    }
    object.finish()
}

/// A value as a caller in Rust has it; `None` for one that is absent.
pub(crate) fn value(json: &Json) -> Result<Option<Json>, Not> {
    if let Some((name, inner)) = tag(json) {
        return tagged(&name, &inner);
    }
    if json.is_object() {
        let mut members = Vec::new();
        for (name, member) in json.members() {
            members.push((name, value(&member)?));
        }
        return Ok(Some(object(members)));
    }
    if json.is_array() {
        let mut elements = Vec::new();
        for element in json.elements() {
            // A list has no places without a value.
            elements.push(value(&element)?.ok_or(Not::Askable("undefined"))?);
        }
        return Ok(Some(Json::array(&elements)));
    }
    Ok(Some(json.clone()))
}

fn tagged(name: &str, inner: &Json) -> Result<Option<Json>, Not> {
    let cannot = |what| Err(Not::Askable(what));
    match name {
        "$undefined" => Ok(None),
        "$number" => match Json::parse(&inner.to_text().unwrap()) {
            Ok(number) => Ok(Some(number)),
            Err(_) => cannot("number"),
        },
        "$utf16" => utf16(inner).map(Some),
        "$nullproto" => value(inner),
        "$shared" => {
            let shared = value(inner)?;
            let members = [("first".to_owned(), shared.clone()), ("second".to_owned(), shared)];
            Ok(Some(object(members)))
        }
        "$entries" => {
            let mut members = Vec::new();
            for entry in inner.elements() {
                let mut entry = entry.elements();
                let name = value(&entry.next().unwrap())?.unwrap().to_text().unwrap();
                members.push((name, value(&entry.next().unwrap())?));
            }
            Ok(Some(object(members)))
        }
        "$date" => cannot("date"),
        "$bigint" => cannot("bigint"),
        "$function" => cannot("function"),
        "$symbol" => cannot("symbol"),
        "$instance" => cannot("instance"),
        "$map" => cannot("map"),
        "$circular" => cannot("circular"),
        "$circularArray" => cannot("circularArray"),
        // A key of the user's that happens to begin so.
        _ => Ok(Some(object([(name.to_owned(), value(inner)?)]))),
    }
}

/// A member of an input.
pub(crate) fn input(json: &Json, member: &str) -> Result<Option<Json>, Not> {
    json.member(member).map_or(Ok(None), |json| value(&json))
}

/// What `$any` labels stand for within one vector.
#[derive(Default)]
pub(crate) struct Labels(HashMap<String, Json>);

impl Labels {
    /// Whether `mine` is what `khora` expects, whatever the order of members.
    pub(crate) fn same(&mut self, mine: &Json, khora: &Json) -> Result<(), Not> {
        let differ = || Err(Not::Same(format!("{mine} is not {khora}")));
        if khora.to_text().as_deref() == Some("$any") {
            return Ok(());
        }
        if let Some((name, label)) = tag(khora) {
            if name == "$any" {
                let bound = self.0.entry(label.to_string()).or_insert_with(|| mine.clone());
                return if bound == mine { Ok(()) } else { differ() };
            }
            let khora = value(khora)?;
            return if khora.is_some_and(|khora| khora == *mine) { Ok(()) } else { differ() };
        }
        if khora.is_object() && mine.is_object() {
            let (mut count, mine_count) = (0, mine.members().count());
            for (name, khora) in khora.members() {
                let Some(mine) = mine.member(&name) else {
                    return Err(Not::Same(format!("{mine} has no {name}")));
                };
                self.same(&mine, &khora)?;
                count += 1;
            }
            return if count == mine_count { Ok(()) } else { differ() };
        }
        if khora.is_array() && mine.is_array() {
            if khora.elements().count() != mine.elements().count() {
                return differ();
            }
            return mine.elements().zip(khora.elements()).try_for_each(|(a, b)| self.same(&a, &b));
        }
        let numbers = || Some(mine.to_f64()?.total_cmp(&khora.to_f64()?).is_eq());
        if mine == khora || numbers() == Some(true) { Ok(()) } else { differ() }
    }
}

pub(crate) fn same(mine: &Json, khora: &Json) -> Result<(), Not> {
    Labels::default().same(mine, khora)
}
