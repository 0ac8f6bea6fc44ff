//! Kernels of routines: one task, scalars only.
//!
//! The buffers are what the routine reads, then what it writes, then perhaps one for its own use; tensors are dense and row-major.
//! Every position that depends on data is confined to its buffer right before its use, and every loop counts up to a
//! bound that is confined too: no data, NaN included, can make a kernel leave its buffers or run on.

mod crop;
mod detections;
mod scalars;

use super::place::{Form, Home};
use super::{Draft, Location, Scheduler, kernel_name};
use crate::format::Format;
use crate::graph::{Graph, Routine, RoutineKind, TensorId};
use crate::kernel::{Buffer, BufferId, Builder, Callee, Custom, Kernel};
use crate::plan::Plan;

impl Scheduler<'_> {
    /// Adds the step that carries out a routine.
    pub(super) fn routine(&mut self, routine: &Routine) {
        let dense = |tensor| Home { tensor, form: Form::Dense };
        routine.reads.iter().for_each(|view| self.bring(dense(view.tensor)));
        routine.writes.iter().for_each(|tensor| self.make(dense(*tensor)));
        let tensors = routine.reads.iter().map(|view| view.tensor).chain(routine.writes.iter().copied());
        let mut arguments: Vec<Location> = tensors.map(|tensor| self.homes[&dense(tensor)]).collect();
        let name = |tensor| self.graph().tensor(tensor).name.as_str();
        let reads: Vec<&str> = routine.reads.iter().map(|view| name(view.tensor)).collect();
        let writes: Vec<&str> = routine.writes.iter().map(|tensor| name(*tensor)).collect();
        let operands = format!("1 task; reads {} in rows; writes {} in rows", reads.join(", "), writes.join(", "));
        if let RoutineKind::Custom(function) = routine.kind {
            let callee = Callee::Custom(custom(self.graph(), routine, function));
            let how = format!("a function of the user's; {operands}");
            self.steps.push(Draft { name: routine.name.clone(), how, callee, arguments });
            return;
        }
        let kernel = kernel(self.plan, routine, self.target.lanes);
        for own in &kernel.buffers[arguments.len()..] {
            arguments.push(self.new_place(own.format, own.elements));
        }
        let how = format!("one word at a time; {operands}");
        self.step(routine.name.clone(), how, kernel, arguments);
    }
}

/// The call of a user's function that carries out a routine.
fn custom(graph: &Graph, routine: &Routine, function: usize) -> Custom {
    let buffer = |tensor, writable| {
        let tensor = graph.tensor(tensor);
        Buffer { name: kernel_name(&tensor.name), elements: tensor.elements(), format: Format::Word, writable }
    };
    let reads = routine.reads.iter().map(|view| buffer(view.tensor, false));
    let writes = routine.writes.iter().map(|tensor| buffer(*tensor, true));
    Custom { function, buffers: reads.chain(writes).collect() }
}

/// The kernel that carries out a routine, unless a user's function does. Buffers beyond what the routine reads and writes are its own memory.
pub fn kernel(plan: &Plan, routine: &Routine, lanes: usize) -> Kernel {
    let mut b = Builder::new(kernel_name(&routine.name), lanes, 1);
    let buffer = |id: TensorId| {
        let tensor = plan.graph.tensor(id);
        (plan.formats[id.0], kernel_name(&tensor.name), tensor.elements())
    };
    let reads = routine.reads.iter().map(|view| buffer(view.tensor));
    let reads: Vec<BufferId> = reads.map(|(format, name, elements)| b.input_in(format, &name, elements)).collect();
    let writes = routine.writes.iter().map(|id| buffer(*id));
    let writes: Vec<BufferId> = writes.map(|(format, name, elements)| b.output_in(format, &name, elements)).collect();
    match &routine.kind {
        RoutineKind::Detections(kind) => {
            let labels = routine.reads[3].elements();
            detections::build(&mut b, kind, &reads, labels, &writes);
        }
        RoutineKind::Crop(kind) => crop::build(&mut b, kind, &routine.reads[0].shape, &reads, &writes),
        RoutineKind::Custom(_) => unreachable!("{}: a user's function is no kernel", routine.name),
    }
    b.finish()
}
