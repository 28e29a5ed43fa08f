//! Where the text of a value is: shared, so that cloning is cheap.

use std::hash::{Hash, Hasher};
use std::ops::Deref;
use std::sync::Arc;

/// From so many bytes on, text that was put together stays where it was put together.
const LONG: usize = 64 << 10;

/// Text of a value.
#[derive(Clone)]
pub(super) enum Text {
    /// Beside its count: one step away.
    Short(Arc<str>),
    /// Two steps away, but not copied when it was made.
    Long(Arc<String>),
}

impl Text {
    /// Takes over text that was put together.
    pub(super) fn assembled(mut text: String) -> Self {
        if text.len() < LONG {
            return Self::Short(text.into());
        }
        // Little room too much stays: allocators keep a block of the same size at hand.
        if text.capacity() - text.len() > text.len() / 8 {
            text.shrink_to_fit();
        }
        Self::Long(Arc::new(text))
    }
}

impl Deref for Text {
    type Target = str;

    fn deref(&self) -> &str {
        match self {
            Self::Short(text) => text,
            Self::Long(text) => text,
        }
    }
}

impl<T: Into<Arc<str>>> From<T> for Text {
    fn from(text: T) -> Self {
        Self::Short(text.into())
    }
}

impl PartialEq for Text {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Text {}

impl Hash for Text {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (**self).hash(state);
    }
}

#[cfg(test)]
mod tests {
    use super::super::Json;

    #[test]
    fn long_text_is_the_same_wherever_it_is() {
        let long = format!("[{}1]", "1,".repeat(super::LONG));
        let (parsed, assembled) = (Json::parse(&long).unwrap(), Json::assembled(long.clone()));
        assert!(matches!(assembled.0, super::Text::Long(_)) && parsed == assembled);
        assert_eq!((assembled.as_str(), assembled.len()), (long.as_str(), long.len()));
        let set = std::collections::HashSet::from([parsed]);
        assert!(set.contains(&assembled));
        assert_eq!(size_of::<Json>(), size_of::<std::sync::Arc<str>>());
    }
}
