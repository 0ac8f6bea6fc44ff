//! Threads that share the tasks of one step at a time.
//!
//! A library for work stealing costs more per step than many steps take, and allocates; this pool does one thing.
//! Tasks are claimed in chunks from one atomic word, so a step never waits for a thread that was late: whoever is awake
//! does the work. Threads spin for the next step for a while, then sleep until one comes.

use crate::generated::Call;
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, AtomicUsize, Ordering};
use std::boxed::Box;
use std::sync::Arc;
use std::thread::{JoinHandle, Thread};
use std::vec::Vec;

/// Chunks per thread: enough that a thread that is slowed down leaves its share to the others.
const CHUNKS_PER_THREAD: usize = 4;
/// So many threads' chunks can be counted in a [`Ticket`].
const MOST_THREADS: usize = u16::MAX as usize / CHUNKS_PER_THREAD;
/// How often a thread looks for work before it sleeps: about 50 microseconds, longer than all but the longest
/// single-threaded steps, shorter than what a sleeping thread costs its successor.
const LOOKS_BEFORE_SLEEP: u32 = 2_000;
/// How often the caller looks whether the others are done before it lets other threads have its core.
const LOOKS_BEFORE_YIELD: u32 = 1_000;

/// A step's number, its chunks and the next one, in one word.
#[derive(Clone, Copy)]
struct Ticket {
    step: u32,
    chunks: u16,
    next: u16,
}

impl Ticket {
    fn pack(self) -> u64 {
        u64::from(self.step) << 32 | u64::from(self.chunks) << 16 | u64::from(self.next)
    }

    fn unpack(word: u64) -> Self {
        Self { step: (word >> 32) as u32, chunks: (word >> 16) as u16, next: word as u16 }
    }
}

/// The step at hand. A thread reads it, then claims a chunk by a compare-and-swap on `ticket`; that succeeds only if the
/// step is still the one that was read, for the caller changes it only when no chunk is left or being worked on.
struct Shared {
    /// A packed [`Ticket`].
    ticket: AtomicU64,
    /// Chunks that are done.
    done: AtomicUsize,
    /// The [`Call`], valid until all chunks are done.
    call: AtomicPtr<Call<'static>>,
    /// The pool is being dropped.
    stop: AtomicBool,
    /// For each thread: whether it sleeps.
    asleep: Vec<AtomicBool>,
    /// Threads that have begun.
    ready: AtomicUsize,
}

/// Threads besides the caller's own.
pub struct Pool {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl Pool {
    /// A pool that works with so many threads in all, the caller's included, or with as many as the system starts: the
    /// caller alone would do every task as well.
    pub fn new(threads: usize) -> Self {
        Self::start(threads, |serve| std::thread::Builder::new().spawn(serve))
    }

    /// The same, with what starts a thread.
    fn start(threads: usize, spawn: impl Fn(Box<dyn FnOnce() + Send>) -> std::io::Result<JoinHandle<()>>) -> Self {
        // More would not fit a ticket.
        let others = threads.clamp(1, MOST_THREADS) - 1;
        let shared = Arc::new(Shared {
            ticket: AtomicU64::new(0),
            done: AtomicUsize::new(0),
            call: AtomicPtr::new(core::ptr::null_mut()),
            stop: AtomicBool::new(false),
            asleep: (0..others).map(|_| AtomicBool::new(false)).collect(),
            ready: AtomicUsize::new(0),
        });
        let start = |number| {
            let shared = Arc::clone(&shared);
            spawn(Box::new(move || shared.serve(number))).ok()
        };
        // A system that has refused one thread would refuse the next.
        let threads: Vec<_> = (0..others).map_while(start).collect();
        // What a thread allocates it does before it begins: from here on nobody does.
        while shared.ready.load(Ordering::Acquire) < threads.len() {
            std::thread::yield_now();
        }
        Self { threads, shared }
    }

    /// Does all tasks of a call, and returns when they are done.
    pub fn run(&mut self, call: &Call) {
        let shared = &*self.shared;
        let chunks = call.tasks.min((self.threads.len() + 1) * CHUNKS_PER_THREAD);
        if chunks <= 1 || self.threads.is_empty() {
            return call.run(0, call.tasks);
        }
        shared.done.store(0, Ordering::Relaxed);
        shared.call.store(core::ptr::from_ref(call).cast_mut().cast(), Ordering::Relaxed);
        let step = Ticket::unpack(shared.ticket.load(Ordering::Relaxed)).step.wrapping_add(1);
        let ticket = Ticket { step, chunks: chunks as u16, next: 0 };
        // Sequentially consistent with `asleep`: either a thread that goes to sleep sees this step, or it is woken.
        shared.ticket.store(ticket.pack(), Ordering::SeqCst);
        for (asleep, thread) in shared.asleep.iter().zip(&self.threads) {
            wake(asleep, thread.thread());
        }
        while shared.work() {}
        let mut looks = 0;
        while shared.done.load(Ordering::Acquire) < chunks {
            if looks < LOOKS_BEFORE_YIELD {
                looks += 1;
                core::hint::spin_loop();
            } else {
                std::thread::yield_now();
            }
        }
    }
}

fn wake(asleep: &AtomicBool, thread: &Thread) {
    if asleep.load(Ordering::SeqCst) && asleep.swap(false, Ordering::SeqCst) {
        thread.unpark();
    }
}

impl Shared {
    /// Does one chunk of the step at hand, if there is one left.
    fn work(&self) -> bool {
        let packed = self.ticket.load(Ordering::Acquire);
        let call = self.call.load(Ordering::Relaxed);
        let Ticket { chunks, next, .. } = Ticket::unpack(packed);
        if next >= chunks {
            return false;
        }
        if self.ticket.compare_exchange(packed, packed + 1, Ordering::AcqRel, Ordering::Relaxed).is_err() {
            return true;
        }
        // SAFETY: the chunk is ours, so the caller waits for us, and the call that was read is this step's.
        let call = unsafe { &*call };
        let (chunks, next) = (usize::from(chunks), usize::from(next));
        call.run(call.tasks * next / chunks, call.tasks * (next + 1) / chunks);
        self.done.fetch_add(1, Ordering::Release);
        true
    }

    /// What a thread does all its life.
    fn serve(&self, number: usize) {
        // A thread that panicked would leave the caller waiting for ever; a kernel that panics is a defect anyway.
        let _guard = AbortOnPanic;
        self.ready.fetch_add(1, Ordering::Release);
        let mut looks = 0;
        let mut seen = self.ticket.load(Ordering::SeqCst);
        while !self.stop.load(Ordering::SeqCst) {
            if self.work() {
                looks = 0;
            } else if looks < LOOKS_BEFORE_SLEEP {
                looks += 1;
                core::hint::spin_loop();
            } else {
                self.sleep_unless_changed(&self.asleep[number], seen);
                seen = self.ticket.load(Ordering::SeqCst);
                looks = 0;
            }
        }
    }

    /// Sleeps until woken, unless something has happened since the ticket `seen`.
    fn sleep_unless_changed(&self, asleep: &AtomicBool, seen: u64) {
        asleep.store(true, Ordering::SeqCst);
        if self.ticket.load(Ordering::SeqCst) != seen || self.stop.load(Ordering::SeqCst) {
            asleep.store(false, Ordering::SeqCst);
        }
        while asleep.load(Ordering::SeqCst) {
            std::thread::park();
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        for (asleep, thread) in self.shared.asleep.iter().zip(&self.threads) {
            wake(asleep, thread.thread());
        }
        for thread in self.threads.drain(..) {
            // It returns nothing, and a panic in it has ended the process.
            let _ = thread.join();
        }
    }
}

struct AbortOnPanic;

impl Drop for AbortOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            std::process::abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generated::Kernel;
    use core::cell::Cell;

    /// Adds 1 to the word of every task.
    unsafe fn count(buffers: *const *mut u32, begin: usize, end: usize) {
        for task in begin..end {
            // SAFETY: the test's only buffer has a word for every task.
            unsafe { *(*buffers).add(task) += 1 };
        }
    }

    #[test]
    fn every_task_is_done_once() {
        for threads in [1, 2, 3, 8] {
            every_task_is_done_once_by(&mut Pool::new(threads), threads);
        }
    }

    #[test]
    fn threads_that_are_not_to_be_had_are_done_without() {
        for had in [0, 1, 3] {
            let left = Cell::new(had);
            let mut pool = Pool::start(8, |serve| match left.get() {
                0 => Err(std::io::ErrorKind::WouldBlock.into()),
                more => {
                    left.set(more - 1);
                    std::thread::Builder::new().spawn(serve)
                }
            });
            assert_eq!(pool.threads.len(), had);
            every_task_is_done_once_by(&mut pool, had + 1);
        }
    }

    fn every_task_is_done_once_by(pool: &mut Pool, threads: usize) {
        for tasks in [1_usize, 2, 3, 7, 8, 31, 1000] {
            let mut words = std::vec![0_u32; tasks];
            let rounds = 200;
            for round in 0..rounds {
                let buffers = [words.as_mut_ptr()];
                pool.run(&Call { kernel: Kernel::Plain(count), buffers: &buffers, tasks });
                if round % 64 == 0 {
                    // Long enough for threads to fall asleep.
                    std::thread::sleep(std::time::Duration::from_millis(2));
                }
            }
            assert!(words.iter().all(|word| *word == rounds), "{threads} threads, {tasks} tasks");
        }
    }
}
