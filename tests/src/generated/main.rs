// What every generated program has beside its networks: runs them and writes down what they compute.
//
//   program FOLDER SET:THREADS:REPEATS...
//
// reads FOLDER/inputs, the words of all networks' inputs one after the other, and writes FOLDER/SET:THREADS:REPEATS for
// each run: for every output its rank, its extents and its words. Stderr tells which network is at work. No run may
// allocate.

/// Continues `outputs` and gives how many words of the inputs it took.
type Unit = fn(options: &ncnnc::Options, inputs: &[u32], repeats: usize, outputs: &mut Vec<u32>) -> usize;

struct Counting;

thread_local! {
    /// What this thread has asked the system for.
    static ALLOCATIONS: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

// SAFETY: everything is left to the system's allocator.
unsafe impl std::alloc::GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: std::alloc::Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: as promised by the caller.
        unsafe { std::alloc::System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: std::alloc::Layout) {
        // SAFETY: as promised by the caller.
        unsafe { std::alloc::System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocations() -> usize {
    ALLOCATIONS.get()
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let folder = std::path::Path::new(&arguments[0]);
    let bytes = std::fs::read(folder.join("inputs")).expect("the inputs");
    let inputs: Vec<u32> = bytes.chunks_exact(4).map(|word| u32::from_le_bytes(word.try_into().unwrap())).collect();
    for run in &arguments[1..] {
        let parts: Vec<&str> = run.split(':').collect();
        let set = ncnnc::InstructionSet::ALL.iter().find(|set| set.name() == parts[0]).expect("an instruction set");
        let options = ncnnc::Options::new().instruction_set(*set).threads(parts[1].parse().expect("threads"));
        let repeats = parts[2].parse().expect("repeats");
        let (mut at, mut outputs) = (0, Vec::new());
        for (name, unit) in UNITS {
            eprintln!("{run} {name}");
            at += unit(&options, &inputs[at..], repeats, &mut outputs);
        }
        let bytes: Vec<u8> = outputs.iter().flat_map(|word| word.to_le_bytes()).collect();
        std::fs::write(folder.join(run), bytes).expect("the outputs");
    }
}

/// The next words of the inputs as an array of floats or integers.
fn array<'a, T, const N: usize>(inputs: &'a [u32], at: &mut usize) -> &'a [T; N] {
    let words = &inputs[*at..*at + N];
    *at += N;
    assert_eq!(size_of::<T>(), size_of::<u32>());
    // SAFETY: every word is a float and an integer, and there are as many.
    unsafe { &*words.as_ptr().cast() }
}

trait Output {
    fn put(&self, outputs: &mut Vec<u32>);
}

trait Word: Copy {
    fn word(self) -> u32;
}

impl Word for f32 {
    fn word(self) -> u32 {
        self.to_bits()
    }
}

impl Word for i32 {
    fn word(self) -> u32 {
        self.cast_unsigned()
    }
}

impl<T: Word, const N: usize> Output for &[T; N] {
    fn put(&self, outputs: &mut Vec<u32>) {
        outputs.extend([1, N as u32]);
        outputs.extend(self.iter().map(|value| value.word()));
    }
}

impl<T: Word, const RANK: usize> Output for ncnnc::Rows<'_, T, RANK> {
    fn put(&self, outputs: &mut Vec<u32>) {
        outputs.push(RANK as u32);
        outputs.extend(self.shape().map(|extent| extent as u32));
        outputs.extend(self.values().iter().map(|value| value.word()));
    }
}
