//! Canonical JSON over several lines, so that a change of one member is a change of one line.

/// The text with a line for each member and element, and a newline at the end.
pub(super) fn pretty(canonical: &str) -> String {
    let bytes = canonical.as_bytes();
    let mut out = String::with_capacity(canonical.len() * 2);
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for (i, c) in canonical.char_indices() {
        if in_string {
            out.push(c);
            in_string = escaped || c != '"';
            escaped = !escaped && c == '\\';
            continue;
        }
        let next = bytes.get(i + 1);
        match c {
            '{' | '[' => {
                out.push(c);
                if !matches!(next, Some(b'}' | b']')) {
                    depth += 1;
                    line(&mut out, depth);
                }
            }
            '}' | ']' => {
                if !out.ends_with(['{', '[']) {
                    depth = depth.saturating_sub(1);
                    line(&mut out, depth);
                }
                out.push(c);
            }
            ',' => {
                out.push(c);
                line(&mut out, depth);
            }
            ':' => out.push_str(": "),
            _ => {
                in_string = c == '"';
                out.push(c);
            }
        }
    }
    out.push('\n');
    out
}

fn line(out: &mut String, depth: usize) {
    out.push('\n');
    out.extend(std::iter::repeat_n("  ", depth));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::Json;

    #[test]
    fn only_white_space_is_added() {
        for text in
            [r#"{"a":{},"b":[],"c":[1,{"d":"x, {\"y\": [\\"}],"e":""}"#, "[]", "1", r#""{""#]
        {
            let shown = pretty(text);
            assert_eq!(Json::parse(&shown).unwrap().as_str(), text);
        }
        assert_eq!(
            pretty(r#"{"a":[1,2],"b":{}}"#),
            "{\n  \"a\": [\n    1,\n    2\n  ],\n  \"b\": {}\n}\n"
        );
    }
}
