//! What a store answered, as lines that can be compared.

use std::collections::BTreeMap;
use std::pin::Pin;

use agentkeep::conformance::dump;
use agentkeep::schema::{AGENTKEEP, Namespace};
use agentkeep::{Result, Store};
use libtest_mimic::Failed;

/// What an exercise gives.
pub(crate) type Told = Pin<Box<dyn Future<Output = Seen>>>;

#[derive(Debug, Default)]
pub(crate) struct Seen(Vec<String>);

impl Seen {
    pub(crate) fn note(&mut self, line: String) {
        self.0.push(line);
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Notes whether it went well, or with which kind it was refused; true when it went well.
    pub(crate) fn answer<T>(&mut self, what: &str, id: &str, result: &Result<T>) -> bool {
        let answer = result.as_ref().map_or_else(|error| error.kind().name(), |_| "ok");
        self.0.push(format!("{what} {id:?}: {answer}"));
        result.is_ok()
    }

    /// Takes out what equal stores need not share: names made of a UUID become their place in the
    /// order of appearance, and times go.
    pub(crate) fn mask(&mut self) {
        let mut known = BTreeMap::new();
        for line in &mut self.0 {
            *line = masked(line, &mut known);
        }
    }

    pub(crate) fn same_as(&self, expected: &Self) -> std::result::Result<(), Failed> {
        let lines = |seen: &Self| seen.0.join("\n").lines().map(str::to_owned).collect::<Vec<_>>();
        let (seen, expected) = (lines(self), lines(expected));
        match seen.iter().zip(&expected).find(|(a, b)| a != b) {
            Some((a, b)) => Err(format!("seen:      {a}\nin memory: {b}").into()),
            None if seen.len() == expected.len() => Ok(()),
            None => Err(format!("{} lines, not {}", seen.len(), expected.len()).into()),
        }
    }
}

fn masked(line: &str, known: &mut BTreeMap<String, usize>) -> String {
    let mut out = String::new();
    let mut rest = line;
    while let Some(at) = rest.find(|c: char| c.is_ascii_hexdigit()) {
        let (before, from) = rest.split_at(at);
        out += before;
        let end = from.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(from.len());
        let (word, after) = from.split_at(end);
        let is_time = word.len() == 13 && word.bytes().all(|b| b.is_ascii_digit());
        if word.len() == 32 {
            let next = known.len();
            out.push('#');
            out += &known.entry(word.to_owned()).or_insert(next).to_string();
        } else {
            out += if is_time { "TIME" } else { word };
        }
        rest = after;
    }
    out + rest
}

/// Everything in all namespaces.
pub(crate) async fn dumped(store: &Store) -> String {
    let mut text = String::new();
    for name in store.namespaces().names().await.unwrap() {
        let namespace = Namespace::new(&name).unwrap();
        let dumped = dump(&**store.driver(), &AGENTKEEP, &namespace).await.unwrap();
        text += &["== namespace ", &name, "\n", &dumped].concat();
    }
    text
}
