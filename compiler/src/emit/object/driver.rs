//! The driver: what calls a network's kernels in order, and what users call.
//!
//! A step puts its kernel and pointers to its buffers into one array, the work. Whoever calls users' functions or is called
//! by them follows the platform's convention, kernels their own; `task` stands between the two.

use super::choice;
use super::platform::Platform;
use super::{Interface, Listing, Network};
use crate::kernel::{Argument, Callee, Kernel, Program, Step};
use cranelift_codegen::Context;
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::types::I64;
use cranelift_codegen::ir::{
    AbiParam, FuncRef, InstBuilder, MemFlagsData, Signature, StackSlotData, StackSlotKind, Value,
};
use cranelift_codegen::isa::CallConv;
use cranelift_frontend::{FunctionBuilder, FunctionBuilderContext};
use cranelift_module::{DataId, FuncId, Linkage, Module};
use ncnnc_targets::Target;

/// Bytes of a pointer.
const POINTER: usize = 8;
/// A kernel's address and its buffers lie in the work in this order.
const BUFFERS: usize = POINTER;

/// A function of this many words that returns nothing.
pub(super) fn signature(convention: CallConv, parameters: usize) -> Signature {
    let mut signature = Signature::new(convention);
    signature.params = vec![AbiParam::new(I64); parameters];
    signature
}

/// Where functions are defined.
pub(super) struct Functions<'m, M: Module> {
    pub module: &'m mut M,
    pub platform: &'m Platform,
    /// What every symbol begins with.
    prefix: &'m str,
    context: Context,
    builder: FunctionBuilderContext,
    /// Where functions are written down as text as well.
    listing: Option<&'m mut Listing>,
}

impl<'m, M: Module> Functions<'m, M> {
    pub fn new(
        module: &'m mut M,
        platform: &'m Platform,
        prefix: &'m str,
        listing: &'m mut Option<&mut Listing>,
    ) -> Self {
        let context = module.make_context();
        let listing = listing.as_deref_mut();
        Self { module, platform, prefix, context, builder: FunctionBuilderContext::new(), listing }
    }

    /// Announces a function whose signature is known.
    pub fn declare(&mut self, name: &str, linkage: Linkage, signature: &Signature) -> FuncId {
        let name = format!("{}_{name}", self.prefix);
        self.module.declare_function(&name, linkage, signature).expect("every symbol is declared once")
    }

    /// Defines a function; `write` is given its parameters.
    pub fn define(
        &mut self,
        name: &str,
        linkage: Linkage,
        signature: Signature,
        write: impl FnOnce(&mut FunctionBuilder, &mut M, &[Value]),
    ) -> FuncId {
        self.define_with(name, linkage, signature, |mut builder, module| {
            let entry = builder.create_block();
            builder.append_block_params_for_function_params(entry);
            builder.switch_to_block(entry);
            let parameters = builder.block_params(entry).to_vec();
            write(&mut builder, module, &parameters);
            builder.seal_all_blocks();
            builder.finalize(module.target_config());
        })
    }

    /// Defines a local function that `write` writes as a whole.
    pub fn define_whole(
        &mut self,
        name: &str,
        signature: Signature,
        write: impl FnOnce(FunctionBuilder, &mut M),
    ) -> FuncId {
        self.define_with(name, Linkage::Local, signature, write)
    }

    fn define_with(
        &mut self,
        name: &str,
        linkage: Linkage,
        signature: Signature,
        write: impl FnOnce(FunctionBuilder, &mut M),
    ) -> FuncId {
        let id = self.declare(name, linkage, &signature);
        self.context.func.signature = signature;
        self.context.set_disasm(self.listing.is_some());
        write(FunctionBuilder::new(&mut self.context.func, &mut self.builder), self.module);
        let defined = self.module.define_function(id, &mut self.context);
        defined.unwrap_or_else(|error| panic!("{name}: {error:?}"));
        if let Some(listing) = &mut self.listing {
            listing.add(&format!("{}_{name}", self.prefix), &self.context, self.module.declarations());
        }
        self.module.clear_context(&mut self.context);
        id
    }

    /// Writes down a kernel of our own encoding.
    pub fn list_encoded(&mut self, name: &str, kernel: &Kernel, target: &Target) {
        if let Some(listing) = &mut self.listing {
            listing.add_encoded(&format!("{}_{name}", self.prefix), kernel, target);
        }
    }

    /// Defines a function by its bytes.
    pub fn define_bytes(&mut self, name: &str, signature: &Signature, bytes: &[u8], alignment: usize) -> FuncId {
        let id = self.declare(name, Linkage::Local, signature);
        self.module.define_function_bytes(id, alignment as u64, bytes, &[]).expect("nobody else defines it");
        id
    }
}

/// `task(work, begin, end)`: these tasks of a step.
pub(super) fn task<M: Module>(functions: &mut Functions<M>) -> FuncId {
    let kernel = signature(functions.platform.kernel_convention(), 3);
    let own = signature(functions.platform.convention(), 3);
    functions.define("task", Linkage::Local, own, |b, _, parameters| {
        let [work, begin, end] = parameters.try_into().expect("three parameters");
        let address = b.ins().load(I64, MemFlagsData::trusted(), work, 0);
        let buffers = b.ins().iadd_imm_s(work, BUFFERS as i64);
        let kernel = b.import_signature(kernel);
        b.ins().call_indirect(kernel, address, &[buffers, begin, end]);
        b.ins().return_(&[]);
    })
}

/// `step(work, tasks, parallel_for, context)`: all tasks of a step, by the caller's function if there is one.
pub(super) fn step<M: Module>(functions: &mut Functions<M>, task: FuncId) -> FuncId {
    let own = signature(functions.platform.convention(), 4);
    let parallel_for = signature(functions.platform.convention(), 4);
    functions.define("step", Linkage::Local, own, |b, module, parameters| {
        let [work, tasks, function, context] = parameters.try_into().expect("four parameters");
        let (shared, alone) = (b.create_block(), b.create_block());
        let task = module.declare_func_in_func(task, b.func);
        b.ins().brif(function, shared, &[], alone, &[]);
        b.switch_to_block(shared);
        let address = b.ins().func_addr(I64, task);
        let parallel_for = b.import_signature(parallel_for);
        b.ins().call_indirect(parallel_for, function, &[context, address, work, tasks]);
        b.ins().return_(&[]);
        b.switch_to_block(alone);
        let first = b.ins().iconst(I64, 0);
        b.ins().call(task, &[work, first, tasks]);
        b.ins().return_(&[]);
    })
}

/// The parameters of drivers: arena, weights, inputs, outputs, parallel_for, context.
const DRIVER_PARAMETERS: usize = 6;

/// The driver for one instruction set.
pub(super) fn driver<M: Module>(
    functions: &mut Functions<M>,
    name: &str,
    program: &Program,
    tables: Option<DataId>,
    kernels: &[FuncId],
    step: FuncId,
) -> FuncId {
    let own = signature(functions.platform.convention(), DRIVER_PARAMETERS);
    functions.define(name, Linkage::Local, own, |b, module, parameters| {
        let [.., parallel_for, context] = parameters else { unreachable!("six parameters") };
        let (parallel_for, context) = (*parallel_for, *context);
        let most = program.steps.iter().map(|step| step.arguments.len()).max().unwrap_or(0);
        let bytes = (BUFFERS + POINTER * most) as u32;
        let slot = b.create_sized_stack_slot(StackSlotData::new(StackSlotKind::ExplicitSlot, bytes, 4));
        let work = b.ins().stack_addr(I64, slot, 0);
        let tables = tables.map(|tables| {
            let tables = module.declare_data_in_func(tables, b.func);
            b.ins().symbol_value(I64, tables)
        });
        let step_function = module.declare_func_in_func(step, b.func);
        let mut references: Vec<Option<FuncRef>> = vec![None; kernels.len()];
        for step in &program.steps {
            let number = kernel_number(step);
            let kernel =
                *references[number].get_or_insert_with(|| module.declare_func_in_func(kernels[number], b.func));
            let address = b.ins().func_addr(I64, kernel);
            b.ins().stack_store(I64, address, slot, 0);
            for (at, argument) in step.arguments.iter().enumerate() {
                let pointer = pointer(b, parameters, tables, *argument);
                b.ins().stack_store(I64, pointer, slot, (BUFFERS + POINTER * at) as i32);
            }
            let tasks = b.ins().iconst(I64, program.kernels[number].tasks as i64);
            b.ins().call(step_function, &[work, tasks, parallel_for, context]);
        }
        b.ins().return_(&[]);
    })
}

fn kernel_number(step: &Step) -> usize {
    match step.callee {
        Callee::Kernel(number) => number,
        Callee::Custom(_) => unreachable!("networks with functions of users' were refused"),
    }
}

/// Where a buffer lies, given the driver's parameters and where the tables are, if there are any.
fn pointer(b: &mut FunctionBuilder, parameters: &[Value], tables: Option<Value>, argument: Argument) -> Value {
    let [arena, weights, inputs, outputs, ..] = parameters else { unreachable!("six parameters") };
    let (table, number) = match argument {
        Argument::Arena(0) => return *arena,
        Argument::Constants(0) => return *weights,
        Argument::Arena(words) => return b.ins().iadd_imm_s(*arena, 4 * words as i64),
        Argument::Constants(words) => return b.ins().iadd_imm_s(*weights, 4 * words as i64),
        Argument::Tables(words) => {
            let tables = tables.expect("there are tables where one is an argument");
            return b.ins().iadd_imm_s(tables, 4 * words as i64);
        }
        Argument::Input(number) => (*inputs, number),
        Argument::Output(number) => (*outputs, number),
    };
    b.ins().load(I64, MemFlagsData::trusted(), table, (POINTER * number) as i32)
}

/// The driver that chooses among those for several instruction sets, best first, and notes the choice in the arena.
///
/// Asking the processor takes long, in a virtual machine very long; and there is no other memory that could be written.
pub(super) fn choose<M: Module>(
    functions: &mut Functions<M>,
    drivers: &[(&str, FuncId)],
    place: usize,
    mark: u64,
) -> FuncId {
    let detect = choice::detect(functions);
    let own = signature(functions.platform.convention(), DRIVER_PARAMETERS);
    functions.define("execute", Linkage::Local, own, |b, module, parameters| {
        let (ask, go) = (b.create_block(), b.create_block());
        let level = b.append_block_param(go, I64);
        let noted = b.ins().load(I64, MemFlagsData::trusted(), parameters[0], place as i32);
        let mark = b.ins().iconst(I64, mark.cast_signed());
        let known = b.ins().bxor(noted, mark);
        let levels = b.ins().iconst(I64, choice::LEVELS.len() as i64);
        let is_known = b.ins().icmp(IntCC::UnsignedLessThan, known, levels);
        b.ins().brif(is_known, go, &[known.into()], ask, &[]);
        b.switch_to_block(ask);
        let detect = module.declare_func_in_func(detect, b.func);
        let call = b.ins().call(detect, &[]);
        let found = b.inst_results(call)[0];
        let note = b.ins().bxor(found, mark);
        b.ins().store(MemFlagsData::trusted(), note, parameters[0], place as i32);
        b.ins().jump(go, &[found.into()]);
        b.switch_to_block(go);
        for (set, driver) in drivers {
            let wanted = choice::LEVELS.iter().position(|level| level == set).expect("every set has a level");
            let (take, next) = (b.create_block(), b.create_block());
            let wanted = b.ins().iconst(I64, wanted as i64);
            let is_enough = b.ins().icmp(IntCC::UnsignedGreaterThanOrEqual, level, wanted);
            b.ins().brif(is_enough, take, &[], next, &[]);
            b.switch_to_block(take);
            let driver = module.declare_func_in_func(*driver, b.func);
            b.ins().call(driver, parameters);
            b.ins().return_(&[]);
            b.switch_to_block(next);
        }
        b.ins().return_(&[]);
    })
}

/// `run` and `run_parallel`: what users call. The weights are in the object, or a parameter behind the arena.
pub(super) fn entries<M: Module>(
    functions: &mut Functions<M>,
    network: &Network,
    execute: FuncId,
    weights: Option<DataId>,
) {
    let interface = Interface::new(network);
    let pointers = 1 + usize::from(weights.is_none()) + network.inputs().len() + interface.outputs.len();
    for (name, extra) in [("run", 0), ("run_parallel", 2)] {
        let own = signature(functions.platform.convention(), pointers + extra);
        functions.define(name, Linkage::Export, own, |b, module, parameters| {
            let (arena, mut rest) = (parameters[0], &parameters[1..]);
            let weights = match weights {
                Some(weights) => {
                    let weights = module.declare_data_in_func(weights, b.func);
                    b.ins().symbol_value(I64, weights)
                }
                None => {
                    let (weights, others) = rest.split_first().expect("a parameter for the weights");
                    rest = others;
                    *weights
                }
            };
            let (inputs, rest) = rest.split_at(network.inputs().len());
            let (outputs, callback) = rest.split_at(interface.outputs.len());
            let inputs = table(b, inputs.iter().copied().enumerate());
            let outputs = table(b, interface.outputs.iter().copied().zip(outputs.iter().copied()));
            let nothing = b.ins().iconst(I64, 0);
            let (parallel_for, context) = match callback {
                [parallel_for, context] => (*parallel_for, *context),
                _none => (nothing, nothing),
            };
            let execute = module.declare_func_in_func(execute, b.func);
            b.ins().call(execute, &[arena, weights, inputs, outputs, parallel_for, context]);
            b.ins().return_(&[]);
        });
    }
}

/// An array on the stack of pointers at these positions.
fn table(b: &mut FunctionBuilder, pointers: impl ExactSizeIterator<Item = (usize, Value)>) -> Value {
    let bytes = (POINTER * pointers.len().max(1)) as u32;
    let slot = b.create_sized_stack_slot(StackSlotData::new(StackSlotKind::ExplicitSlot, bytes, 3));
    for (at, pointer) in pointers {
        b.ins().stack_store(I64, pointer, slot, (POINTER * at) as i32);
    }
    b.ins().stack_addr(I64, slot, 0)
}
