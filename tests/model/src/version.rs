//! The versions that a node can run.

use bottlerocket_updater::api::status::Image;

/// A version of the operating system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Version {
    /// The version that all nodes run at the beginning.
    Old,
    /// A version that boots on no node.
    Bad,
    /// A version that boots on each node, unless power is lost meanwhile.
    Good,
}

impl Version {
    /// The version as the API names it.
    pub fn image(self) -> Image<'static> {
        let version = match self {
            Self::Old => "1.0.0",
            Self::Bad => "1.1.0",
            Self::Good => "1.2.0",
        };
        Image { version, variant: "aws-k8s-1.34", arch: "x86_64" }
    }
}
