//! A model as machine code in this process's memory, written the way object files are.
//!
//! The only place with `unsafe`: it keeps the promises that callers of an object file keep.

use cranelift_jit::{JITBuilder, JITModule};
use cranelift_module::default_libcall_names;
use ncnnc_compiler::diagnostic::{Code, Diagnostic};
use ncnnc_compiler::emit::object::{Network, Platform, define};
use ncnnc_compiler::kernel::Port;
use rayon::{ThreadPool, ThreadPoolBuilder};
use std::ffi::c_void;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// What carries out tasks `begin..end` of a step.
type Task = unsafe extern "C" fn(argument: *mut c_void, begin: usize, end: usize);
/// What is called for every step.
type ParallelFor = unsafe extern "C" fn(context: *mut c_void, task: Task, argument: *mut c_void, count: usize);
/// What carries out the network.
type Driver = unsafe extern "C" fn(
    arena: *mut u8,
    weights: *const u8,
    inputs: *const *const u8,
    outputs: *const *mut u8,
    parallel_for: Option<ParallelFor>,
    context: *mut c_void,
);

/// Memory aligned as networks want it.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([u8; 64]);

/// A model that is ready to run.
pub struct Loaded {
    driver: Driver,
    arena: Vec<Line>,
    weights: Vec<Line>,
    inputs: Vec<usize>,
    outputs: Vec<usize>,
    pool: Option<ThreadPool>,
    /// Its memory holds the code.
    _module: JITModule,
}

/// Nobody asks what runs in this process, and no longer, for its hash.
pub const NO_HASH: u128 = 0;

/// Parts of a step for each thread: enough that a thread that is slowed down leaves its share to the others.
const CHUNKS_PER_THREAD: usize = 4;

/// Who carries out the steps, and how long each takes.
struct Steps<'p> {
    pool: Option<&'p ThreadPool>,
    times: Vec<Duration>,
}

impl Loaded {
    /// Compiles a network whose weights are external.
    ///
    /// # Errors
    /// The system gives no more threads.
    pub fn new(network: &Network, platform: &Platform, threads: usize) -> Result<Self, Diagnostic> {
        let builder = JITBuilder::with_isa(platform.isa(), default_libcall_names());
        let mut module = JITModule::new(builder);
        let driver = define(&mut module, network, platform);
        module.finalize_definitions().expect("every function is defined");
        let address = module.get_finalized_function(driver);
        // SAFETY: this is the type of what `define` defines.
        let driver = unsafe { std::mem::transmute::<*const u8, Driver>(address) };
        let words = |ports: &[Port]| ports.iter().map(|port| port.shape.iter().product()).collect();
        let pool = match threads {
            1 => None,
            _several => Some(ThreadPoolBuilder::new().num_threads(threads).build().map_err(|error| {
                Diagnostic::error(format!("can't start {threads} threads: {error}")).code(Code::Machine)
            })?),
        };
        Ok(Self {
            driver,
            arena: vec![Line([0; 64]); network.arena_bytes().div_ceil(64)],
            weights: lines(&network.weights()),
            inputs: words(network.inputs()),
            outputs: words(network.outputs()),
            pool,
            _module: module,
        })
    }

    /// Runs the network on its inputs; gives all outputs, extents that depend on data included.
    ///
    /// # Panics
    /// When the inputs aren't as long as the network wants them.
    pub fn run(&mut self, inputs: &[&[u32]]) -> Vec<Vec<u32>> {
        let mut outputs: Vec<Vec<u32>> = self.outputs.iter().map(|words| vec![0; *words]).collect();
        self.call(inputs, &mut outputs, false);
        outputs
    }

    /// Runs the network; gives the time of every step.
    ///
    /// # Panics
    /// As [`Self::run`].
    pub fn time(&mut self, inputs: &[&[u32]]) -> Vec<Duration> {
        let mut outputs: Vec<Vec<u32>> = self.outputs.iter().map(|words| vec![0; *words]).collect();
        self.call(inputs, &mut outputs, true)
    }

    fn call(&mut self, inputs: &[&[u32]], outputs: &mut [Vec<u32>], timed: bool) -> Vec<Duration> {
        assert!(inputs.iter().map(|words| words.len()).eq(self.inputs.iter().copied()), "inputs of the right lengths");
        let inputs: Vec<*const u8> = inputs.iter().map(|words| words.as_ptr().cast()).collect();
        let outputs: Vec<*mut u8> = outputs.iter_mut().map(|words| words.as_mut_ptr().cast()).collect();
        let mut steps = Steps { pool: self.pool.as_ref(), times: Vec::new() };
        let parallel_for: Option<ParallelFor> = (timed || steps.pool.is_some()).then_some(step);
        // SAFETY: arena and weights are as long and as aligned as the network wants them; there is a pointer for each
        // input and output, to as many words as it has; `step` takes a `Steps` as its context.
        unsafe {
            (self.driver)(
                self.arena.as_mut_ptr().cast(),
                self.weights.as_ptr().cast(),
                inputs.as_ptr(),
                outputs.as_ptr(),
                parallel_for,
                (&raw mut steps).cast(),
            );
        }
        steps.times
    }
}

/// A pointer for all threads.
struct Shared(*mut c_void);

// SAFETY: what it points to is only read, and the tasks of a step may run anywhere.
unsafe impl Sync for Shared {}

/// Carries out a step and notes its time.
///
/// # Safety
/// The context is a `Steps`; the task takes the argument.
unsafe extern "C" fn step(context: *mut c_void, task: Task, argument: *mut c_void, count: usize) {
    // SAFETY: nobody else has the context while a step runs.
    let steps = unsafe { &mut *context.cast::<Steps>() };
    let start = Instant::now();
    match steps.pool {
        Some(pool) if count > 1 => {
            let (shared, next) = (Shared(argument), AtomicUsize::new(0));
            pool.broadcast(|worker| {
                let shared = &shared;
                let chunks = count.min(worker.num_threads() * CHUNKS_PER_THREAD);
                let claim = || Some(next.fetch_add(1, Ordering::Relaxed)).filter(|chunk| *chunk < chunks);
                while let Some(chunk) = claim() {
                    // SAFETY: every chunk has tasks of its own, and all are done before this returns.
                    unsafe { task(shared.0, count * chunk / chunks, count * (chunk + 1) / chunks) };
                }
            });
        }
        // SAFETY: these are all tasks, once.
        Some(_) | None => unsafe { task(argument, 0, count) },
    }
    steps.times.push(start.elapsed());
}

fn lines(bytes: &[u8]) -> Vec<Line> {
    let line = |part: &[u8]| {
        let mut line = Line([0; 64]);
        line.0[..part.len()].copy_from_slice(part);
        line
    };
    bytes.chunks(64).map(line).collect()
}
