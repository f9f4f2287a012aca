//! The repository of updates: what a refresh finds.

use crate::version::Version;

/// The newest version that the repository offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Repository {
    /// The bad version. All runs begin with it.
    Bad,
    /// The version that all nodes run at the beginning: the bad one is withdrawn.
    Old,
    /// The good version. It stays.
    Good,
}

impl Repository {
    /// What is chosen on a node that runs `running`.
    pub fn chosen_for(self, running: Version) -> Option<Version> {
        let newest = match self {
            Self::Bad => Version::Bad,
            Self::Old => Version::Old,
            Self::Good => Version::Good,
        };
        Some(newest).filter(|newest| *newest != running)
    }

    /// What the repository can offer next.
    pub fn next(self) -> &'static [Self] {
        match self {
            Self::Bad => &[Self::Old, Self::Good],
            Self::Old => &[Self::Good],
            Self::Good => &[],
        }
    }
}
