//! A map that mostly has one entry.

use std::collections::BTreeMap;

/// A map in the order of its keys. One entry needs no room of its own on the heap.
#[derive(Debug)]
pub(super) struct Few<V> {
    one: Option<(String, V)>,
    /// Nothing without `one`.
    more: Option<BTreeMap<String, V>>,
}

impl<V> Default for Few<V> {
    fn default() -> Self {
        Self { one: None, more: None }
    }
}

impl<V> Few<V> {
    pub(super) fn get(&self, key: &str) -> Option<&V> {
        match &self.one {
            Some((own, value)) if own == key => Some(value),
            _ => self.more.as_ref()?.get(key),
        }
    }

    pub(super) fn get_mut(&mut self, key: &str) -> Option<&mut V> {
        match &mut self.one {
            Some((own, value)) if own == key => Some(value),
            _ => self.more.as_mut()?.get_mut(key),
        }
    }

    pub(super) fn contains(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    /// Adds an entry, or gives the key another value.
    pub(super) fn insert(&mut self, key: &str, value: V) {
        if let Some(old) = self.get_mut(key) {
            *old = value;
        } else if self.one.is_none() {
            self.one = Some((key.to_owned(), value));
        } else {
            self.more.get_or_insert_default().insert(key.to_owned(), value);
        }
    }

    pub(super) fn remove(&mut self, key: &str) -> Option<V> {
        if self.one.as_ref().is_some_and(|(own, _)| own == key) {
            let next = self.more.as_mut().and_then(BTreeMap::pop_first);
            return std::mem::replace(&mut self.one, next).map(|(_, value)| value);
        }
        self.more.as_mut()?.remove(key)
    }

    /// All entries, and none are left.
    pub(super) fn take_all(&mut self) -> impl Iterator<Item = (String, V)> + use<V> {
        let (mut one, mut more) = (self.one.take(), self.more.take());
        if let Some(more) = &mut more {
            more.extend(one.take());
        }
        one.into_iter().chain(more.into_iter().flatten())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All sequences of five steps with three keys, beside a plain map.
    #[test]
    fn it_is_like_any_map() {
        const STEPS: usize = 6;
        for sequence in 0..STEPS.pow(5) {
            let (mut few, mut plain, mut rest) = (Few::default(), BTreeMap::new(), sequence);
            for value in 0..5 {
                let (step, key) = ((rest % STEPS) / 3, ["b", "a", "c"][rest % 3]);
                rest /= STEPS;
                if step == 0 {
                    few.insert(key, value);
                    plain.insert(key.to_owned(), value);
                } else {
                    assert_eq!(few.remove(key), plain.remove(key), "{sequence}");
                }
                for key in ["a", "b", "c"] {
                    assert_eq!(few.get(key), plain.get(key), "{sequence}");
                    assert_eq!(few.get_mut(key), plain.get_mut(key), "{sequence}");
                    assert_eq!(few.contains(key), plain.contains_key(key), "{sequence}");
                }
            }
            assert!(few.take_all().eq(plain), "{sequence}");
            assert_eq!(few.take_all().next(), None);
        }
    }
}
