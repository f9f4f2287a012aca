//! The programs' own memory functions, compared with plain Rust: all sizes, alignments and
//! overlaps, and no access to other memory.

#[path = "../bins/start/memory.rs"]
mod functions;

/// The number of bytes on either side that a function must not change.
const GUARD: usize = 32;

/// All offsets within the widest loads and stores.
const ALIGNMENTS: std::ops::Range<usize> = 0..16;

/// All small sizes, and sizes at which an implementation may use another method.
fn sizes() -> impl Iterator<Item = usize> {
    (0..=300).chain(508..=516).chain(1020..=1028).chain(4090..=4102).chain([65_535, 65_536, 65_537])
}

/// The small sizes, for tests that combine each with many overlaps.
const SMALL: std::ops::RangeInclusive<usize> = 0..=72;

/// Enough bytes for the largest size at any alignment, and the guards.
const ROOM: usize = 65_537 + 16 + 2 * GUARD;

/// Memory at a multiple of 16, so that an offset is an alignment.
#[repr(C, align(16))]
struct Aligned([u8; ROOM]);

impl Aligned {
    fn new() -> Box<Self> {
        Box::new(Self([0; ROOM]))
    }
}

/// Fills memory with bytes without a pattern, so that a wrong offset is noticed.
fn scramble(bytes: &mut [u8], seed: u8) {
    let mut state = 0x9e37_79b9_u32 ^ u32::from(seed);
    for byte in bytes {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        *byte = state.to_le_bytes()[1];
    }
}

/// The part of `memory` with `len` bytes at this alignment, and their guards.
fn window(memory: &mut Aligned, alignment: usize, len: usize) -> &mut [u8] {
    &mut memory.0[alignment..alignment + len + 2 * GUARD]
}

/// The alignments of two pieces of memory of this size. For small sizes these are all
/// pairs. For larger sizes one of the two is 0, which has all differences, too.
fn alignments(len: usize) -> impl Iterator<Item = (usize, usize)> {
    ALIGNMENTS
        .flat_map(|one| ALIGNMENTS.map(move |other| (one, other)))
        .filter(move |&(one, other)| len <= 48 || one == 0 || other == 0)
}

type Copy = unsafe fn(*mut u8, *const u8, usize);

/// Tests copies between two separate pieces of memory.
fn copies_apart(copy: Copy) {
    let (mut source, mut target) = (Aligned::new(), Aligned::new());
    scramble(&mut source.0, 1);
    for len in sizes() {
        for (from, to) in alignments(len) {
            let source = window(&mut source, from, len);
            let target = window(&mut target, to, len);
            scramble(target, 2);
            let mut expected = target.to_vec();
            expected[GUARD..][..len].copy_from_slice(&source[GUARD..][..len]);
            let unchanged = source.to_vec();

            // SAFETY: the windows have `len` bytes after the first guard.
            unsafe { copy(target.as_mut_ptr().add(GUARD), source.as_ptr().add(GUARD), len) };

            assert!(target == expected, "{len} bytes, alignments {from} and {to}");
            assert!(source == unchanged, "{len} bytes, alignments {from} and {to}: the source");
        }
    }
}

/// Tests a copy within one piece of memory, from `from` to `to`.
fn copies_within(copy: Copy, memory: &mut Aligned, from: usize, to: usize, len: usize) {
    let memory = window(memory, 0, from.max(to) + len);
    scramble(memory, 3);
    let mut expected = memory.to_vec();
    let copied = memory[GUARD + from..][..len].to_vec();
    expected[GUARD + to..][..len].copy_from_slice(&copied);

    let start = memory.as_mut_ptr();
    // SAFETY: the window has `len` bytes from the larger offset on, between its guards.
    unsafe { copy(start.add(GUARD + to), start.add(GUARD + from), len) };

    assert!(memory == expected, "{len} bytes from {from} to {to}");
}

#[test]
fn copy_forward_copies() {
    copies_apart(functions::copy_forward);
}

#[test]
fn copy_overlapping_copies_separate_memory() {
    copies_apart(functions::copy_overlapping);
}

#[test]
fn copy_forward_copies_to_an_earlier_place() {
    let mut memory = Aligned::new();
    for len in SMALL {
        for to in ALIGNMENTS {
            for distance in 0..=len + 1 {
                copies_within(functions::copy_forward, &mut memory, to + distance, to, len);
            }
        }
    }
}

#[test]
fn copy_overlapping_copies_every_overlap_in_both_directions() {
    let mut memory = Aligned::new();
    for len in SMALL {
        for start in ALIGNMENTS {
            for distance in 0..=len + 1 {
                let (one, other) = (start, start + distance);
                copies_within(functions::copy_overlapping, &mut memory, one, other, len);
                copies_within(functions::copy_overlapping, &mut memory, other, one, len);
            }
        }
    }
}

#[test]
fn copy_overlapping_copies_larger_overlaps_in_both_directions() {
    let mut memory = Aligned::new();
    for len in sizes().filter(|len| !SMALL.contains(len)) {
        for distance in [0, 1, 7, 8, 9, 15, 16, 17, 63, 64, 65, len / 2, len - 1] {
            if distance + len + 2 * GUARD > ROOM {
                continue;
            }
            copies_within(functions::copy_overlapping, &mut memory, 0, distance, len);
            copies_within(functions::copy_overlapping, &mut memory, distance, 0, len);
        }
    }
}

#[test]
fn fill_sets_each_byte() {
    let mut memory = Aligned::new();
    for len in sizes() {
        for alignment in ALIGNMENTS {
            for byte in [0, 1, 0x7f, 0x80, 0xa5, 0xff] {
                let memory = window(&mut memory, alignment, len);
                scramble(memory, 4);
                let mut expected = memory.to_vec();
                expected[GUARD..][..len].fill(byte);

                // SAFETY: the window has `len` bytes after the first guard.
                unsafe { functions::fill(memory.as_mut_ptr().add(GUARD), byte, len) };

                assert!(memory == expected, "{len} times {byte:#x}, alignment {alignment}");
            }
        }
    }
}

/// Compares two slices of the same length with `functions::compare`.
fn compare(left: &[u8], right: &[u8]) -> i32 {
    assert_eq!(left.len(), right.len());
    // SAFETY: both slices have this length.
    unsafe { functions::compare(left.as_ptr(), right.as_ptr(), left.len()) }
}

#[test]
fn compare_ignores_bytes_around_equal_bytes() {
    let (mut left, mut right) = (Aligned::new(), Aligned::new());
    for len in sizes() {
        for (one, other) in alignments(len) {
            let left = window(&mut left, one, len);
            let right = window(&mut right, other, len);
            left.fill(0x00);
            right.fill(0xff);
            scramble(&mut left[GUARD..][..len], 5);
            scramble(&mut right[GUARD..][..len], 5);

            let answer = compare(&left[GUARD..][..len], &right[GUARD..][..len]);

            assert_eq!(answer, 0, "{len} bytes, alignments {one} and {other}");
        }
    }
}

#[test]
fn compare_goes_by_the_first_difference() {
    for len in (1..=64).chain([4096]) {
        let mut left = vec![0; len];
        scramble(&mut left, 6);
        for at in 0..len {
            let mut right = left.clone();
            right[at] = left[at].wrapping_add(1);
            // All later bytes differ in the other direction.
            let opposite = if left[at] < right[at] { 0 } else { 0xff };
            right[at + 1..].fill(opposite);

            assert_eq!(compare(&left, &right).signum(), left[at].cmp(&right[at]) as i32);
            assert_eq!(compare(&right, &left).signum(), right[at].cmp(&left[at]) as i32);
        }
    }
}

#[test]
fn compare_takes_bytes_as_unsigned() {
    for left in 0..=u8::MAX {
        for right in 0..=u8::MAX {
            let answer = compare(&[7, left], &[7, right]);
            assert_eq!(answer.signum(), left.cmp(&right) as i32, "{left} and {right}");
        }
    }
}

#[test]
fn length_counts_up_to_the_first_nul() {
    let mut memory = Aligned::new();
    for len in sizes() {
        for alignment in ALIGNMENTS {
            let memory = window(&mut memory, alignment, len);
            // There are NULs before the string, which do not count, and random bytes after
            // it.
            scramble(memory, 7);
            memory[..GUARD].fill(0);
            for byte in &mut memory[GUARD..][..len] {
                *byte = (*byte).max(1);
            }
            memory[GUARD + len] = 0;

            // SAFETY: there is a NUL after the `len` bytes.
            let answer = unsafe { functions::length(memory.as_ptr().add(GUARD)) };

            assert_eq!(answer, len, "alignment {alignment}");
        }
    }
}
