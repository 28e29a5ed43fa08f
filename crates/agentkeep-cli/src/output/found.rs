//! Text that is searched for: whether it stands in a view, and where.

const ON: &str = "\x1b[7m";
const OFF: &str = "\x1b[27m";

/// A text searched for in upper or lower case.
#[derive(Debug)]
pub(crate) struct Needle {
    folded: Vec<char>,
}

impl Needle {
    /// This text.
    pub(crate) fn new(text: &str) -> Self {
        Self { folded: text.chars().flat_map(char::to_lowercase).collect() }
    }

    /// Whether it stands in the view, our own styles aside.
    pub(crate) fn is_in(&self, view: &str) -> bool {
        view.lines()
            .any(|line| parts(line).any(|part| part.is_text && !self.places(part.text).is_empty()))
    }

    /// The view with every place of it in reverse.
    pub(crate) fn marked(&self, view: &str) -> String {
        let mut out = String::with_capacity(view.len());
        for line in view.split_inclusive('\n') {
            for part in parts(line) {
                let mut at = 0;
                for (from, to) in if part.is_text { self.places(part.text) } else { Vec::new() } {
                    out.push_str(&part.text[at..from]);
                    out.push_str(ON);
                    out.push_str(&part.text[from..to]);
                    out.push_str(OFF);
                    at = to;
                }
                out.push_str(&part.text[at..]);
            }
        }
        out
    }

    /// Where it stands, in bytes, from left to right.
    fn places(&self, text: &str) -> Vec<(usize, usize)> {
        let folded: Vec<(usize, usize, char)> = text
            .char_indices()
            .flat_map(|(at, c)| c.to_lowercase().map(move |low| (at, at + c.len_utf8(), low)))
            .collect();
        let mut places = Vec::new();
        let mut at = 0;
        while at + self.folded.len() <= folded.len() {
            let here = &folded[at..at + self.folded.len()];
            match (here.first(), here.last()) {
                (Some(first), Some(last)) if here.iter().map(|(.., c)| c).eq(&self.folded) => {
                    places.push((first.0, last.1));
                    at += self.folded.len();
                }
                _ => at += 1,
            }
        }
        places
    }
}

/// A piece of a line: text, or one of our own styles.
struct Part<'a> {
    text: &'a str,
    /// True for text, which may be searched.
    is_text: bool,
}

fn parts(mut line: &str) -> impl Iterator<Item = Part<'_>> {
    std::iter::from_fn(move || {
        if line.is_empty() {
            return None;
        }
        // Foreign text has no ESC left in it: every one is ours and ends with `m`.
        let (end, is_text) = match line.find('\u{1b}') {
            Some(0) => (line.find('m').map_or(line.len(), |end| end + 1), false),
            Some(end) => (end, true),
            None => (line.len(), true),
        };
        let (text, rest) = line.split_at(end);
        line = rest;
        Some(Part { text, is_text })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_found_in_any_case_and_never_in_styles() {
        let view = "\x1b[2mTool\x1b[0m STRASSE tool\nÜber\n";
        let marked = |text: &str| Needle::new(text).marked(view);
        assert_eq!(
            marked("tOOl"),
            format!("\x1b[2m{ON}Tool{OFF}\x1b[0m STRASSE {ON}tool{OFF}\nÜber\n")
        );
        assert_eq!(marked("über"), format!("\x1b[2mTool\x1b[0m STRASSE tool\n{ON}Über{OFF}\n"));
        assert_eq!(marked("2m"), view);
        assert!(!Needle::new("[2m").is_in(view) && !Needle::new("0m").is_in(view));
        assert!(Needle::new("strasse t").is_in(view));
        assert_eq!(Needle::new("aa").marked("aaa"), format!("{ON}aa{OFF}a"));
    }
}
