//! The translator of regular expressions: the input is whether case counts (a byte's lowest bit), and then the
//! pattern and subjects, with a NUL, which none of them can hold, after each.

#![no_main]

#[path = "../../tests/properties/ere.rs"]
mod property;

/// The longest pattern, and the longest subjects all in all: many short inputs tell more than a few long ones.
const LONGEST: usize = 48;

/// How many times as large as the pattern regcomp may make it.
const LARGEST: usize = 1000;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let Some((flags, input)) = input.split_first() else { return };
    let mut texts = input.split(|byte| *byte == 0);
    let pattern = texts.next().unwrap_or_default();
    let subjects: Vec<&[u8]> = texts.collect();
    if !is_tame(pattern) || input.len() - pattern.len() > LONGEST {
        return;
    }
    if let Some(both) = property::Both::new(pattern, flags & 1 != 0) {
        both.agree_on(&subjects);
        both.cover_truly(&subjects, &subjects);
    }
});

/// Whether glibc can be asked about the pattern in bounded time and memory.
///
/// It copies what `{9}` and `+` repeat, so that both multiply when they are nested: a dozen bytes such as
/// `((a{999}){999}){999}` take all memory. A back-reference makes regexec try every way to match, in exponential time
/// and with known faults; and as such a pattern is left to it, there is nothing to compare.
fn is_tame(pattern: &[u8]) -> bool {
    let numbers = pattern.split(|byte| !byte.is_ascii_digit()).filter(|digits| !digits.is_empty());
    let copies = numbers
        .map(|digits| {
            std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok()).unwrap_or(LARGEST)
        })
        .chain(pattern.iter().filter(|byte| **byte == b'+').map(|_| 2))
        .fold(1, |product: usize, factor| product.saturating_mul(factor.max(1)));
    let referring = pattern.windows(2).any(|two| two[0] == b'\\' && matches!(two[1], b'1'..=b'9'));
    pattern.len() <= LONGEST && copies < LARGEST && !referring
}
