//! Messages that can tell whether they are whole.

use agentkeep::driver::Hash;
use agentkeep::{Content, Json, Message, Result};

/// What the second process says, over and over, so that a message is worth tearing.
const LINE: &str = "The order has left the warehouse; the parcel is on its way. ";
const SEAL: &str = "\nchecksum ";

/// The message `number` of writer `writer`, sealed with a checksum of its own text.
pub(super) fn sealed(writer: u32, number: u32) -> Result<Message> {
    let length = 1 + (writer * 7 + number * 3) as usize % 60;
    let text = format!("Update {number} of writer {writer}.\n{}", LINE.repeat(length));
    let text = format!("{text}{SEAL}{}", Hash::of(text.as_bytes()).to_hex());
    Message::assistant(&text)?.with("id", &format!("demo-{writer}-{number}"))
}

/// Whether the text fits its checksum.
pub(super) fn is_whole(message: &Message) -> bool {
    let Content::Text(content) = message.content() else { return false };
    let sealed = content.rsplit_once(SEAL);
    sealed.is_some_and(|(text, seal)| Hash::of(text.as_bytes()).to_hex() == seal)
}

/// Identifies the exact text of a message.
pub(super) fn fingerprint(json: &Json) -> String {
    Hash::of(json.as_str().as_bytes()).to_hex()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_torn_message_is_told() {
        let whole = sealed(3, 14).unwrap();
        assert!(is_whole(&whole));
        let Content::Text(text) = whole.content() else { panic!("no text") };
        let torn = Message::assistant(&text[..text.len() - 1]).unwrap();
        assert!(!is_whole(&torn));
        assert!(!is_whole(&Message::assistant(&text.replace("parcel", "pArcel")).unwrap()));
    }
}
