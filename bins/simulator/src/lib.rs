//! A simulated Bottlerocket node.
