//! The meaning of every routine, for the interpreters.

mod crop;
mod custom;
mod detections;

use super::arithmetic::Arithmetic;
use crate::graph::{CustomFunction, Element, Graph, Routine, RoutineKind};

/// Carries out a routine on the values it reads; gives the values of each tensor it writes, whole: those beyond the actual
/// extents are zero. `functions` are the user's, by number.
pub(super) fn run<A: Arithmetic>(
    graph: &Graph,
    routine: &Routine,
    functions: &[CustomFunction],
    reads: &[Vec<A::Value>],
) -> Vec<Vec<A::Value>> {
    let (values, extents) = match &routine.kind {
        RoutineKind::Detections(detections) => detections::run::<A>(detections, reads),
        RoutineKind::Crop(crop) => crop::run::<A>(crop, &routine.reads[0].shape, reads),
        RoutineKind::Custom(number) => {
            let function = functions.get(*number);
            let function = *function.unwrap_or_else(|| panic!("layer `{}` needs function {number}", routine.name));
            return custom::run::<A>(graph, routine, function, reads);
        }
    };
    let capacity = graph.tensor(routine.writes[0]).elements();
    let mut whole = values;
    whole.resize(capacity, A::Value::default());
    vec![whole, extents.into_iter().map(|extent| A::read(extent as u32, Element::I32)).collect()]
}
