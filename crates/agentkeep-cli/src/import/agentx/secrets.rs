//! Secrets of LLM providers: they are left behind.

use agentkeep::{Json, ObjectEditor};

/// Names of members that hold one, in lower case, without `_` and `-`.
const NAMES: [&str; 9] = [
    "token",
    "authtoken",
    "accesstoken",
    "refreshtoken",
    "secret",
    "secretkey",
    "clientsecret",
    "password",
    "authorization",
];

fn is_secret(name: &str) -> bool {
    let plain: String =
        name.chars().filter(|c| !matches!(c, '_' | '-')).flat_map(char::to_lowercase).collect();
    plain.ends_with("apikey") || plain.ends_with("apikeys") || NAMES.contains(&plain.as_str())
}

/// The value without its secrets, whose places go into `left`.
pub(super) fn without(json: &Json, path: &str, left: &mut Vec<String>) -> Json {
    if json.is_array() {
        let elements = json.elements().enumerate();
        let kept: Vec<Json> =
            elements.map(|(i, element)| without(&element, &format!("{path}[{i}]"), left)).collect();
        return Json::array(&kept);
    }
    if !json.is_object() {
        return json.clone();
    }
    let mut editor = ObjectEditor::default();
    for (name, member) in json.members() {
        let place = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        if is_secret(&name) && !member.is_null() {
            left.push(place);
        } else {
            editor.set(&name, &without(&member, &place, left));
        }
    }
    editor.finish()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test states what must hold")]

    use super::*;

    #[test]
    fn keys_go_and_everything_else_stays() {
        let json = Json::parse(
            r#"{"id":"p","apiKey":"sk-1","baseUrl":"https://x","n":1.0,"maxTokens":5,
                "more":[{"api_key":"sk-2","tokens":3}],"headers":{"Authorization":"sk-3"},"token":null}"#,
        )
        .unwrap();
        let mut left = Vec::new();
        let kept = without(&json, "", &mut left);
        assert_eq!(
            kept.as_str(),
            r#"{"id":"p","baseUrl":"https://x","n":1.0,"maxTokens":5,"more":[{"tokens":3}],"headers":{},"token":null}"#
        );
        assert_eq!(left, ["apiKey", "more[0].api_key", "headers.Authorization"]);
    }
}
