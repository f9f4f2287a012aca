//! Values that many states have in common.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Deref;
use std::sync::Arc;

/// A value that states share until it is changed, with its hash.
#[derive(Debug, Clone)]
pub struct Shared<T> {
    value: Arc<T>,
    hash: u64,
}

impl<T: Clone + Hash> Shared<T> {
    /// A value that nobody shares yet.
    pub fn new(value: T) -> Self {
        let hash = hash(&value);
        Self { value: Arc::new(value), hash }
    }

    /// The hash of the value.
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// Changes the value in this state only.
    pub fn change<R>(&mut self, change: impl FnOnce(&mut T) -> R) -> R {
        let result = change(Arc::make_mut(&mut self.value));
        self.hash = hash(&*self.value);
        result
    }
}

impl<T> Deref for Shared<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

/// Two values with the same hash count as equal.
impl<T> PartialEq for Shared<T> {
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash
    }
}

impl<T> Eq for Shared<T> {}

impl<T> Hash for Shared<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.hash.hash(state);
    }
}

/// The hash of a value.
pub fn hash(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}
