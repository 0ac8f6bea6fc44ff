//! Where a network's activations live: on the heap, or in memory the caller gives.

/// A cache line, the unit memory is aligned to.
#[cfg(feature = "alloc")]
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([u32; 16]);

/// Memory of `BYTES` bytes for one network, wherever it is put: in a `static`, on the stack, inside another value.
/// A network's `in_arena` borrows it.
#[derive(Clone)]
#[repr(C, align(64))]
pub struct Arena<const BYTES: usize>([u8; BYTES]);

impl<const BYTES: usize> Arena<BYTES> {
    /// Memory that holds zeros.
    #[must_use]
    pub const fn new() -> Self {
        Self([0; BYTES])
    }
}

impl<const BYTES: usize> Default for Arena<BYTES> {
    fn default() -> Self {
        Self::new()
    }
}

/// Memory a network can work in: [`Owned`] or a borrowed [`Arena`].
///
/// # Safety
/// The pointer is aligned to 64 bytes, the words behind it (as many as the network was promised) are initialised, and
/// they may be read and written through it as long as `self` lives and is not used otherwise.
pub unsafe trait Memory {
    /// The first word.
    fn words(&mut self) -> *mut u32;
}

/// Memory on the heap, given back when the network is dropped.
#[cfg(feature = "alloc")]
pub struct Owned(alloc::boxed::Box<[Line]>);

/// Memory on the heap, which this build does without: use `in_arena`.
#[cfg(not(feature = "alloc"))]
pub enum Owned {}

#[cfg(feature = "alloc")]
impl Owned {
    /// That many bytes or a few more, holding zeros.
    #[must_use]
    pub fn new(bytes: usize) -> Self {
        let lines = alloc::boxed::Box::new_zeroed_slice(bytes.div_ceil(size_of::<Line>()));
        // SAFETY: zeros are valid words.
        Self(unsafe { lines.assume_init() })
    }
}

/// A copy of packed weights, aligned as networks want them, for the rest of the program's life: for a network with
/// `weights = runtime` whose weights were read from a file.
#[cfg(feature = "alloc")]
#[must_use]
pub fn leak_weights(bytes: &[u8]) -> &'static [u8] {
    let lines = alloc::boxed::Box::leak(Owned::new(bytes.len()).0);
    // SAFETY: the lines hold at least as many initialised bytes, and nobody else knows them.
    let copy = unsafe { core::slice::from_raw_parts_mut(lines.as_mut_ptr().cast::<u8>(), bytes.len()) };
    copy.copy_from_slice(bytes);
    copy
}

#[cfg(feature = "alloc")]
// SAFETY: lines are aligned and initialised, and `self` owns them.
unsafe impl Memory for Owned {
    fn words(&mut self) -> *mut u32 {
        self.0.as_mut_ptr().cast()
    }
}

#[cfg(not(feature = "alloc"))]
// SAFETY: there is no value to call it on.
unsafe impl Memory for Owned {
    fn words(&mut self) -> *mut u32 {
        match *self {}
    }
}

// SAFETY: an arena is aligned and initialised, and nobody else can use it while it is borrowed.
unsafe impl<const BYTES: usize> Memory for &mut Arena<BYTES> {
    fn words(&mut self) -> *mut u32 {
        self.0.as_mut_ptr().cast()
    }
}

/// Bytes aligned as kernels want their constants.
#[doc(hidden)]
#[repr(C, align(64))]
pub struct Aligned<T: ?Sized>(pub T);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_aligned_to_cache_lines() {
        let mut arena = Arena::<100>::new();
        assert_eq!((&mut arena).words() as usize % 64, 0);
        for bytes in [0, 1, 64, 65, 100_000] {
            assert_eq!(Owned::new(bytes).words() as usize % 64, 0);
        }
    }
}
