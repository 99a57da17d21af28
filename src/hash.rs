//! Hashes of watch descriptors, and of places: a directory's number and the name of an entry in it.

use std::hash::{BuildHasher, RandomState};

use crate::sys::inotify::Wd;

/// Hashes places by random keys: whoever chooses the names must not be able to choose hashes. The standard library's hash
/// takes several times as long for names as short as these.
#[derive(Debug, Clone)]
pub struct PlaceHasher([u64; 2]);

impl Default for PlaceHasher {
    fn default() -> PlaceHasher {
        let random = RandomState::new();
        PlaceHasher([random.hash_one(0), random.hash_one(1)])
    }
}

impl PlaceHasher {
    /// The hash of an entry of a directory that has this number.
    pub fn hash(&self, parent: u32, name: &[u8]) -> u64 {
        let PlaceHasher([start, key]) = *self;
        let length = (name.len() as u64) << 32 | u64::from(parent);
        let mut hash = mixed(start ^ length, key);
        let mut words = name.chunks_exact(8);
        for word in &mut words {
            let word = word.try_into().map_or(0, u64::from_ne_bytes);
            hash = mixed(hash ^ word, key);
        }
        let last = words.remainder().iter().fold(0, |word, byte| word << 8 | u64::from(*byte));
        mixed(hash ^ last, key)
    }
}

/// Each bit of the result depends on all bits of both.
fn mixed(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    (product as u64) ^ (product >> 64) as u64
}

/// Watch descriptors rise by one: spreading them over the high bits is all that a hash needs to do.
pub fn hash_of_number(wd: Wd) -> u64 {
    u64::from(wd.0 as u32).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}
