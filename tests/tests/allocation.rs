//! Running a network allocates nothing; in an arena, making it ready allocates nothing either.
//!
//! One test, so that no other runs beside it: what every thread asks for is counted.

use ncnnc::{Arena, InstructionSet, Options};
use std::alloc::{GlobalAlloc, Layout, System};
use std::hint::black_box;
use std::sync::atomic::{AtomicUsize, Ordering};

ncnnc::include_model! {
    struct Digits = "../runtime/examples/digits/digits.fp32.param";
    input in0: [1, 8, 8];
}

struct Counting;

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

// SAFETY: everything is left to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: as promised by the caller.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as promised by the caller.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocations(work: impl FnOnce()) -> usize {
    let before = ALLOCATIONS.load(Ordering::SeqCst);
    work();
    ALLOCATIONS.load(Ordering::SeqCst) - before
}

#[test]
fn running_allocates_nothing() {
    assert_eq!(allocations(|| drop(black_box(Box::new(1)))), 1, "the count counts");
    let image = [0.5; 64];
    for instruction_set in InstructionSet::ALL.iter().copied().filter(|set| set.is_available()) {
        for threads in [1, 2, 4] {
            let options = Options::new().threads(threads).instruction_set(instruction_set);
            let mut digits = Digits::with_options(&options);
            let run = allocations(|| {
                for _ in 0..100 {
                    black_box(digits.run(black_box(&image)));
                }
            });
            assert_eq!(run, 0, "{threads} threads, {}", instruction_set.name());
        }
    }
    let mut arena = Arena::new();
    let in_arena = allocations(|| {
        black_box(Digits::in_arena(&mut arena).run(&image));
    });
    assert_eq!(in_arena, 0, "in an arena");
}
