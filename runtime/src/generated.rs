//! What generated code is made of. Not for use by hand: it changes with the compiler.

pub use crate::memory::Aligned;
#[cfg(feature = "std")]
pub use crate::pool::Pool;
pub use crate::weights::check as check_weights;
pub use crate::words;

use crate::{InstructionSet, Memory, Options};

/// A kernel: does the tasks `begin..end` on its buffers, given as an array of pointers.
#[derive(Clone, Copy)]
pub enum Kernel {
    /// Written in Rust.
    Plain(unsafe fn(*const *mut u32, usize, usize)),
    /// Written in assembly.
    #[cfg(target_arch = "x86_64")]
    Assembly(unsafe extern "sysv64" fn(*const *mut u32, usize, usize)),
    /// Written in assembly.
    #[cfg(not(target_arch = "x86_64"))]
    Assembly(unsafe extern "C" fn(*const *mut u32, usize, usize)),
}

/// A call of a kernel. Every step waits for the one before.
pub struct Step {
    /// The layer it carries out.
    pub name: &'static str,
    /// What is called.
    pub kernel: Kernel,
    /// How many tasks there are; threads share them.
    pub tasks: usize,
    /// What its buffers are.
    pub arguments: &'static [Argument],
}

/// Where a buffer lies; offsets are in words.
#[derive(Clone, Copy)]
pub enum Argument {
    /// In the memory of the network: activations, and behind them the outputs.
    Arena(usize),
    /// Among the constants.
    Constants(usize),
    /// Among the tables of positions, which kernels trust.
    Tables(usize),
    /// The caller's input with this number.
    Input(usize),
}

/// Calls a function of the user's on its `I` inputs and `O` outputs, dense floats of these lengths.
///
/// # Safety
/// There are as many buffers, inputs first, of these lengths; no output overlaps another buffer.
pub unsafe fn call<const I: usize, const O: usize>(
    function: fn(&[&[f32]], &mut [&mut [f32]]),
    buffers: *const *mut u32,
    inputs: [usize; I],
    outputs: [usize; O],
) {
    let buffer = |number: usize| {
        // SAFETY: there are that many.
        unsafe { (*buffers.add(number)).cast::<f32>() }
    };
    // SAFETY: any words are floats, and the buffers are there as long as the step runs.
    let inputs: [&[f32]; I] = core::array::from_fn(|i| unsafe { core::slice::from_raw_parts(buffer(i), inputs[i]) });
    // SAFETY: the same, and nothing else refers to them meanwhile.
    let mut outputs: [&mut [f32]; O] =
        core::array::from_fn(|i| unsafe { core::slice::from_raw_parts_mut(buffer(I + i), outputs[i]) });
    function(&inputs, &mut outputs);
}

/// A network compiled for one instruction set.
pub struct Program {
    /// Which.
    pub instruction_set: InstructionSet,
    /// The tables of positions, aligned to 64 bytes.
    pub tables: &'static [u8],
    /// The calls, in order.
    pub steps: &'static [Step],
}

/// A call of a kernel on buffers that are known.
pub struct Call<'a> {
    /// What is called.
    pub kernel: Kernel,
    /// Its buffers.
    pub buffers: &'a [*mut u32],
    /// How many tasks there are.
    pub tasks: usize,
}

// SAFETY: the tasks of a kernel write to different places, and its buffers outlive the call.
unsafe impl Sync for Call<'_> {}

impl Call<'_> {
    /// Does some of the tasks.
    #[inline]
    pub fn run(&self, begin: usize, end: usize) {
        // SAFETY: whoever made the call has given the kernel the buffers it wants.
        unsafe {
            match self.kernel {
                Kernel::Plain(kernel) => kernel(self.buffers.as_ptr(), begin, end),
                Kernel::Assembly(kernel) => kernel(self.buffers.as_ptr(), begin, end),
            }
        }
    }
}

/// A network that is ready to run: its memory and its threads.
pub struct Session<M> {
    memory: M,
    program: &'static Program,
    constants: *const u32,
    /// None for a single thread, which needs nothing from the heap.
    #[cfg(feature = "std")]
    pool: Option<crate::pool::Pool>,
}

// SAFETY: the constants are never written; all else can be sent.
unsafe impl<M: Send> Send for Session<M> {}
// SAFETY: a shared session gives nothing but views of what was computed.
unsafe impl<M: Sync> Sync for Session<M> {}

impl<M: Memory> Session<M> {
    /// Chooses among the programs of one network, best first.
    ///
    /// # Panics
    /// When the options ask for an instruction set that this machine or the network lacks.
    ///
    /// # Safety
    /// The steps' arguments lie within the memory, the constants and the program's tables.
    pub unsafe fn new(memory: M, programs: &'static [Program], constants: &'static [u8], options: &Options) -> Self {
        let fits = |program: &&Program| match options.instruction_set {
            Some(wanted) => program.instruction_set == wanted && wanted.is_available(),
            None => program.instruction_set.is_available(),
        };
        let Some(program) = programs.iter().find(fits) else {
            match options.instruction_set {
                Some(wanted) => {
                    panic!("{} is not available here, or the network was not compiled for it", wanted.name())
                }
                None => panic!("the network was compiled for none of this machine's instruction sets"),
            }
        };
        Self {
            memory,
            program,
            constants: constants.as_ptr().cast(),
            #[cfg(feature = "std")]
            pool: (options.threads > 1).then(|| crate::pool::Pool::new(options.threads)),
        }
    }

    /// Carries out all steps. `N` is the largest number of arguments a step has.
    ///
    /// # Safety
    /// The inputs are as long as the steps want them.
    pub unsafe fn run<const N: usize>(&mut self, inputs: &[*const u32]) {
        let (arena, tables) = (self.memory.words(), self.program.tables.as_ptr().cast());
        for step in self.program.steps {
            // SAFETY: as promised here and when the session was made.
            let buffers = unsafe { buffers::<N>(step, arena, self.constants, tables, inputs) };
            let call = Call { kernel: step.kernel, buffers: &buffers, tasks: step.tasks };
            #[cfg(feature = "std")]
            match &mut self.pool {
                Some(pool) => pool.run(&call),
                None => call.run(0, call.tasks),
            }
            #[cfg(not(feature = "std"))]
            call.run(0, call.tasks);
        }
    }

    /// Hands every step to `visit`, which carries it out at least once: for measurements of single steps.
    ///
    /// # Safety
    /// As for [`Self::run`].
    pub unsafe fn visit<const N: usize>(
        &mut self,
        inputs: &[*const u32],
        mut visit: impl FnMut(&'static Step, &Call<'_>),
    ) {
        let (arena, tables) = (self.memory.words(), self.program.tables.as_ptr().cast());
        for step in self.program.steps {
            // SAFETY: as promised here and when the session was made.
            let buffers = unsafe { buffers::<N>(step, arena, self.constants, tables, inputs) };
            visit(step, &Call { kernel: step.kernel, buffers: &buffers, tasks: step.tasks });
        }
    }

    /// A value at this offset in the memory, in words.
    ///
    /// # Safety
    /// It lies within the memory, and any words make a valid `T`, which is aligned to 64 bytes at most.
    pub unsafe fn view<T>(&mut self, offset: usize) -> &T {
        // SAFETY: memory is initialised, and borrowed from here on.
        unsafe { &*self.memory.words().add(offset).cast::<T>() }
    }

    /// The memory's first word, for several values at once.
    pub fn words(&mut self) -> *mut u32 {
        self.memory.words()
    }

    /// The instruction set that was chosen.
    pub fn instruction_set(&self) -> InstructionSet {
        self.program.instruction_set
    }
}

/// Where a step's buffers lie.
///
/// # Safety
/// The offsets of its arguments lie within the arena, the constants and the tables, and there are as many inputs as it
/// names.
#[inline]
unsafe fn buffers<const N: usize>(
    step: &Step,
    arena: *mut u32,
    constants: *const u32,
    tables: *const u32,
    inputs: &[*const u32],
) -> [*mut u32; N] {
    debug_assert!(step.arguments.len() <= N, "{} has more arguments than were expected", step.name);
    let mut buffers = [core::ptr::null_mut(); N];
    for (buffer, argument) in buffers.iter_mut().zip(step.arguments) {
        *buffer = match *argument {
            // SAFETY: it lies within the arena, as the caller promises.
            Argument::Arena(offset) => unsafe { arena.add(offset) },
            // SAFETY: the same for the constants.
            Argument::Constants(offset) => unsafe { constants.add(offset).cast_mut() },
            // SAFETY: the same for the tables.
            Argument::Tables(offset) => unsafe { tables.add(offset).cast_mut() },
            Argument::Input(number) => inputs[number].cast_mut(),
        };
    }
    buffers
}
