//! Networks as object files, called as C programs call them.

use ncnnc::generated::{Aligned, Call, Kernel, Pool};
use std::ffi::c_void;
use std::time::Instant;

/// What carries out tasks `begin..end` of a step.
pub type Task = unsafe extern "C" fn(work: *mut c_void, begin: usize, end: usize);
/// What is called for every step.
pub type ParallelFor = unsafe extern "C" fn(context: *mut c_void, task: Task, work: *mut c_void, tasks: usize);
/// The function that runs a network with one input and one output.
pub type Run = unsafe extern "C" fn(*mut c_void, *const f32, *mut f32, Option<ParallelFor>, *mut c_void);

/// A network that is linked to this program.
pub struct Object {
    /// Runs it.
    pub run: Run,
    /// What it works in.
    pub arena_bytes: usize,
    /// Values of its output.
    pub output: usize,
}

/// What is linked under a name.
macro_rules! object {
    ($run:ident, $arena_bytes:literal, $output:literal) => {{
        unsafe extern "C" {
            fn $run(
                arena: *mut std::ffi::c_void,
                input: *const f32,
                output: *mut f32,
                parallel_for: Option<crate::objects::ParallelFor>,
                context: *mut std::ffi::c_void,
            );
        }
        crate::objects::Object { run: $run, arena_bytes: $arena_bytes, output: $output }
    }};
}
#[allow(unused_imports, reason = "without objects nobody asks for any")]
pub(crate) use object;

/// A line of memory.
type Line = Aligned<[u32; 16]>;

/// An object with its memory and, for several threads, the pool that generated Rust uses.
pub struct Running<'o> {
    object: &'o Object,
    arena: Vec<Line>,
    output: Vec<f32>,
    pool: Option<Pool>,
}

impl<'o> Running<'o> {
    /// Ready to run on so many threads.
    pub fn new(object: &'o Object, threads: usize) -> Self {
        let arena = (0..object.arena_bytes.div_ceil(size_of::<Line>())).map(|_| Aligned([0; 16])).collect();
        let pool = (threads > 1).then(|| Pool::new(threads));
        Self { object, arena, output: vec![0.0; object.output], pool }
    }

    /// Runs it.
    pub fn run(&mut self, input: &[f32]) -> &[f32] {
        let (function, context): (Option<ParallelFor>, *mut c_void) = match &mut self.pool {
            Some(pool) => (Some(share), std::ptr::from_mut(pool).cast()),
            None => (None, std::ptr::null_mut()),
        };
        let arena = self.arena.as_mut_ptr().cast();
        // SAFETY: arena, input and output are as long as the network wants them; `share` takes a pool as its context.
        unsafe { (self.object.run)(arena, input.as_ptr(), self.output.as_mut_ptr(), function, context) };
        &self.output
    }

    /// Runs it on this thread; the seconds that each step takes.
    pub fn time(&mut self, input: &[f32]) -> Vec<f64> {
        // As generated Rust does before its steps are timed.
        self.run(input);
        let mut times: Vec<f64> = Vec::new();
        let context = (&raw mut times).cast();
        let arena = self.arena.as_mut_ptr().cast();
        // SAFETY: as above; `time` takes a vector of times as its context.
        unsafe { (self.object.run)(arena, input.as_ptr(), self.output.as_mut_ptr(), Some(time), context) };
        times
    }
}

/// Shares a step's tasks among the threads of a pool.
///
/// # Safety
/// The context is a [`Pool`] that nobody else uses; the task takes the work.
unsafe extern "C" fn share(context: *mut c_void, task: Task, work: *mut c_void, tasks: usize) {
    // SAFETY: as promised.
    let pool = unsafe { &mut *context.cast::<Pool>() };
    pool.run(&Call { kernel: Kernel::Plain(part), buffers: &[task as *mut u32, work.cast()], tasks });
}

/// Carries out a step and notes how long it takes.
///
/// # Safety
/// The context is a vector of seconds that nobody else uses; the task takes the work.
unsafe extern "C" fn time(context: *mut c_void, task: Task, work: *mut c_void, tasks: usize) {
    // SAFETY: as promised.
    let times = unsafe { &mut *context.cast::<Vec<f64>>() };
    let start = Instant::now();
    // SAFETY: these are all tasks, once.
    unsafe { task(work, 0, tasks) };
    times.push(start.elapsed().as_secs_f64());
}

/// Tasks of a step: the buffers are the function and its work.
///
/// # Safety
/// As [`share`] makes the call.
unsafe fn part(buffers: *const *mut u32, begin: usize, end: usize) {
    // SAFETY: these are the two pointers that `share` has given.
    let (task, work) = unsafe { (std::mem::transmute::<*mut u32, Task>(*buffers), (*buffers.add(1)).cast()) };
    // SAFETY: the task takes its work.
    unsafe { task(work, begin, end) };
}
