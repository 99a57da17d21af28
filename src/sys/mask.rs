//! The bits of events, as a type of their own: no cookie, descriptor or count is taken for one.

use std::ops::{BitAnd, BitOr, BitOrAssign, BitXor, Not};

/// A set of the bits of inotify(7): what a watch asks for, what the kernel reports, and what it says of either. Unknown bits are
/// kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Mask(u32);

impl Mask {
    /// No bit.
    pub const NONE: Mask = Mask(0);

    /// Of the kernel's number.
    pub const fn of(bits: u32) -> Mask {
        Mask(bits)
    }

    /// The kernel's number.
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// Whether it has one of these bits, or more.
    #[inline]
    pub const fn has(self, some: Mask) -> bool {
        self.0 & some.0 != 0
    }

    /// Whether it has all of these bits.
    #[inline]
    pub const fn has_all(self, all: Mask) -> bool {
        self.0 & all.0 == all.0
    }

    /// Whether it is one bit.
    pub const fn is_single(self) -> bool {
        self.0.is_power_of_two()
    }

    /// `|`, for constants.
    pub const fn or(self, other: Mask) -> Mask {
        Mask(self.0 | other.0)
    }

    /// `& !`, for constants.
    pub const fn without(self, other: Mask) -> Mask {
        Mask(self.0 & !other.0)
    }

    /// It, if that holds; else no bit.
    pub fn when(self, holds: bool) -> Mask {
        if holds { self } else { Mask::NONE }
    }

    /// The position of each bit, the lowest first.
    #[inline]
    pub fn positions(self) -> impl Iterator<Item = usize> {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            let at = rest.trailing_zeros();
            rest &= rest.wrapping_sub(1);
            (at < u32::BITS).then_some(at as usize)
        })
    }
}

impl BitOr for Mask {
    type Output = Mask;
    #[inline]
    fn bitor(self, other: Mask) -> Mask {
        Mask(self.0 | other.0)
    }
}

impl BitOrAssign for Mask {
    #[inline]
    fn bitor_assign(&mut self, other: Mask) {
        self.0 |= other.0;
    }
}

impl BitAnd for Mask {
    type Output = Mask;
    #[inline]
    fn bitand(self, other: Mask) -> Mask {
        Mask(self.0 & other.0)
    }
}

impl BitXor for Mask {
    type Output = Mask;
    #[inline]
    fn bitxor(self, other: Mask) -> Mask {
        Mask(self.0 ^ other.0)
    }
}

impl Not for Mask {
    type Output = Mask;
    #[inline]
    fn not(self) -> Mask {
        Mask(!self.0)
    }
}

/// Of the form in which fanotify(7) takes it.
impl From<Mask> for u64 {
    fn from(mask: Mask) -> u64 {
        mask.0.into()
    }
}

macro_rules! of_inotify {
    ($($name:ident)*) => {
        $(#[doc = concat!("`", stringify!($name), "` of inotify(7).")] pub const $name: Mask = Mask(libc::$name);)*
    };
}

of_inotify! {
    IN_ACCESS IN_MODIFY IN_ATTRIB IN_CLOSE_WRITE IN_CLOSE_NOWRITE IN_CLOSE IN_OPEN
    IN_MOVED_FROM IN_MOVED_TO IN_MOVE IN_CREATE IN_DELETE IN_DELETE_SELF IN_MOVE_SELF
    IN_ALL_EVENTS
    IN_UNMOUNT IN_Q_OVERFLOW IN_IGNORED IN_ISDIR
    IN_ONLYDIR IN_DONT_FOLLOW IN_MASK_ADD IN_ONESHOT
}
