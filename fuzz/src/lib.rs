//! Shared code of the fuzz targets: serde_json's view of a status document, to compare
//! the library with, and decisions that are read from the input.

pub mod choices;
pub mod json;

use bottlerocket_updater::api::status::Status;

/// Passes `bytes` to `take` whole, byte by byte, and split at places that depend on
/// the bytes. The results must be the same.
pub fn in_any_pieces<T: PartialEq + std::fmt::Debug>(
    bytes: &[u8],
    take: impl Fn(&mut dyn Iterator<Item = &[u8]>) -> T,
) -> T {
    let whole = take(&mut [bytes].into_iter());
    assert_eq!(take(&mut bytes.chunks(1)), whole, "byte by byte");
    let mut rest = bytes;
    let mut state = bytes.iter().fold(0u32, |hash, byte| {
        (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193).rotate_left(5)
    });
    let mut pieces = std::iter::from_fn(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let (piece, behind) = rest.split_at((state >> 24) as usize % (rest.len() + 1));
        rest = behind;
        (!piece.is_empty() || !rest.is_empty()).then_some(piece)
    });
    assert_eq!(take(&mut pieces), whole, "in pieces");
    whole
}

/// All fields of a status as one text.
pub fn summary(status: &Status) -> String {
    let last = status.last_command.map(|last| {
        (last.name, last.outcome, last.timestamp, last.exit_status, last.stderr.to_string())
    });
    format!("{status} {:?} {:?} {last:?}", status.chosen, status.staged)
}
