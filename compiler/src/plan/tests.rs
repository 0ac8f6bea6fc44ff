//! The interpreter against one that walks every loop by itself, and the text of a plan.

use super::{Mode, Numerics, Order, Plan, interpret, interpret_real};
use crate::expression::Expression;
use crate::function::Function;
use crate::graph::{Access, Axis, Combine, Element, Graph, Index, Nest, Operation, Output, Reduction, Source, View};
use crate::instruction::Instruction;

fn axis(name: &'static str, extent: usize) -> Axis {
    Axis { name, extent }
}

fn at(view: &View, index: Vec<Index>) -> Access {
    Access::new(view.tensor, &view.shape, index)
}

/// Numbers of both signs whose sums depend on their order.
fn numbers(count: usize, seed: u32) -> Vec<u32> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (f32::from(i16::from_ne_bytes([(state >> 16) as u8, (state >> 24) as u8])) / 1000.0).exp2().mul_add(0.1, -0.1)
    };
    (0..count).map(|i| (next().min(1e4) * if i % 3 == 0 { -1.0 } else { 1.0 }).to_bits()).collect()
}

/// A graph of one nest over the given inputs.
fn graph_of(inputs: &[&[usize]], output: &[usize], nest: impl FnOnce(&[View], &View) -> Nest) -> Graph {
    let mut graph = Graph::default();
    let mut views = Vec::new();
    for (i, shape) in inputs.iter().enumerate() {
        let id = graph.add_tensor(&format!("in{i}"), shape, Element::F32, Source::Input);
        graph.inputs.push(id);
        views.push(graph.view(id));
    }
    let id = graph.add_tensor("out", output, Element::F32, Source::Computed);
    let out = graph.view(id);
    graph.operations.push(Operation::Nest(nest(&views, &out)));
    graph.outputs.push(Output { name: "out".into(), view: out });
    graph
}

/// A padded, strided convolution of 19 channels, with bias and a clip.
fn convolution() -> Graph {
    graph_of(&[&[19, 6, 40], &[3, 19, 2, 3], &[3]], &[3, 4, 20], |inputs, out| {
        let pixel = vec![Index::axis(3), Index::axis(1).plus(4, 2).moved(-1), Index::axis(5).plus(2, 2).moved(-1)];
        let weight = vec![Index::axis(0), Index::axis(3), Index::axis(4), Index::axis(5)];
        let mut term = Expression::default();
        term.results = vec![term.read(0), term.read(1)];
        Nest {
            name: "convolution".into(),
            parallel: vec![axis("oc", 3), axis("y", 4), axis("x", 20)],
            reduction: Some(Reduction {
                axes: vec![axis("ic", 19), axis("ky", 2), axis("kx", 3)],
                combine: Combine::FusedSum,
                start: Expression::read_of(2),
                term,
            }),
            reads: vec![at(&inputs[0], pixel).or(0.5), at(&inputs[1], weight), at(&inputs[2], vec![Index::axis(0)])],
            store: Expression::new(|e| {
                let (sum, limit) = (e.read(3), e.constant(100.0));
                e.min(limit, sum)
            }),
            write: at(out, vec![Index::axis(0), Index::axis(1), Index::axis(2)]),
        }
    })
}

/// A reduction of squares over two axes, the second read through a table, written backwards.
fn reduction(combine: Combine, start: f32, rows: usize) -> Graph {
    graph_of(&[&[5, rows, 7]], &[5], |inputs, out| {
        let table: Vec<i64> = vec![6, 0, 3, 1, 5];
        let index = vec![Index::axis(0), Index::axis(1), Index::table(2, table)];
        let backwards: Vec<i64> = vec![4, 3, 2, 1, 0];
        Nest {
            name: "reduction".into(),
            parallel: vec![axis("c", 5)],
            reduction: Some(Reduction {
                axes: vec![axis("y", rows), axis("x", 5)],
                combine,
                start: Expression::constant_of(start),
                term: Expression::new(|e| {
                    let x = e.read(0);
                    e.mul(x, x)
                }),
            }),
            reads: vec![at(&inputs[0], index)],
            store: Expression::read_of(1),
            write: at(out, vec![Index::table(0, backwards)]),
        }
    })
}

/// Every iteration of loops of these extents, row-major.
fn iterations(extents: &[usize]) -> Vec<Vec<usize>> {
    extents.iter().fold(vec![Vec::new()], |all, extent| {
        all.iter().flat_map(|outer| (0..*extent).map(|i| [outer.clone(), vec![i]].concat())).collect()
    })
}

/// The only nest of a plan, element by element; the order of terms by sorting them.
fn naive(plan: &Plan, inputs: &[Vec<u32>]) -> Vec<u32> {
    let Operation::Nest(nest) = &plan.graph.operations[0] else { panic!("a nest") };
    let mut output = vec![0; plan.graph.tensor(nest.write.tensor).elements()];
    for outer in iterations(&nest.parallel.iter().map(|axis| axis.extent).collect::<Vec<_>>()) {
        let read = |iteration: &[usize], operand: usize| {
            let access = &nest.reads[operand];
            let outside = match access.outside {
                crate::graph::Outside::Never => 0,
                crate::graph::Outside::Value(word) => word,
            };
            access.position(iteration).map_or(outside, |position| inputs[access.tensor.0][position])
        };
        let mut scratch = Vec::new();
        let mut evaluate = |expression: &Expression, iteration: &[usize], reduced: u32| -> Vec<u32> {
            let expanded = expression.expanded();
            let operand = |i: usize| if i < nest.reads.len() { read(iteration, i) } else { reduced };
            expanded.evaluate(operand, &mut scratch);
            expanded.results.iter().map(|id| scratch[id.0 as usize]).collect()
        };
        let mut reduced = 0;
        if let (Some(reduction), Numerics::Direct(order)) = (&nest.reduction, plan.numerics[0]) {
            let start = evaluate(&reduction.start, &outer, 0)[0];
            let mut terms = iterations(&reduction.axes.iter().map(|axis| axis.extent).collect::<Vec<_>>());
            let mut lanes = vec![start];
            match order {
                Order::Chain { block } => terms.sort_by_key(|i| (i[0] / block, i[1..].to_vec(), i[0] % block)),
                Order::Lanes(count) => lanes = vec![start; count],
            }
            let apply = |there: u32, term: &[u32]| match reduction.combine {
                Combine::FusedSum => Instruction::FusedMultiplyAdd.lane(&[term[0], term[1], there]),
                Combine::Sum => Instruction::Add.lane(&[there, term[0]]),
                Combine::Product => Instruction::Multiply.lane(&[there, term[0]]),
                Combine::Maximum => Instruction::Maximum.lane(&[term[0], there]),
                Combine::Minimum => Instruction::Minimum.lane(&[term[0], there]),
            };
            for (number, term) in terms.iter().enumerate() {
                let lane = number % lanes.len();
                let values = evaluate(&reduction.term, &[outer.clone(), term.clone()].concat(), 0);
                lanes[lane] = apply(lanes[lane], &values);
            }
            while lanes.len() > 1 {
                let upper = lanes.split_off(lanes.len() / 2);
                lanes = lanes.iter().zip(upper).map(|(there, term)| apply(*there, &[term])).collect();
            }
            reduced = lanes[0];
        }
        let position = nest.write.position(&outer).expect("writes are never outside");
        output[position] = evaluate(&nest.store, &outer, reduced)[0];
    }
    output
}

fn inputs_of(graph: &Graph) -> Vec<Vec<u32>> {
    let count = |(i, id): (usize, &crate::graph::TensorId)| numbers(graph.tensor(*id).elements(), i as u32 + 1);
    graph.inputs.iter().enumerate().map(count).collect()
}

fn equals_naive(graph: Graph) {
    let inputs = inputs_of(&graph);
    let plan = Plan::new(graph, Mode::Strict);
    assert_eq!(interpret(&plan, &inputs)[0].words, naive(&plan, &inputs), "{plan}");
}

#[test]
fn a_convolution_is_one_chain_in_blocks_of_channels() {
    equals_naive(convolution());
}

#[test]
fn the_order_of_the_chain_shows_in_the_bits() {
    let graph = convolution();
    let inputs = inputs_of(&graph);
    let plan = Plan::new(graph, Mode::Strict);
    let unblocked = Plan { numerics: vec![Numerics::Direct(Order::Chain { block: 1 })], ..plan.clone() };
    assert_ne!(interpret(&plan, &inputs), interpret(&unblocked, &inputs));
}

#[test]
fn reductions_are_chains_when_short_and_lanes_when_long() {
    for (combine, start) in [
        (Combine::Sum, 0.0),
        (Combine::Product, 1.0),
        (Combine::Maximum, f32::NEG_INFINITY),
        (Combine::Minimum, f32::INFINITY),
    ] {
        // 60 terms are a chain, 65 and 100 are lanes; 65 don't fill the last round.
        for rows in [12, 13, 20] {
            let graph = reduction(combine, start, rows);
            let order = Plan::new(graph.clone(), Mode::Fast).numerics[0];
            let expected = if rows == 12 { Order::Chain { block: 1 } } else { Order::Lanes(16) };
            assert_eq!(order, Numerics::Direct(expected));
            equals_naive(graph);
        }
    }
}

#[test]
fn functions_are_their_instructions_in_words_and_themselves_in_double_precision() {
    let graph = graph_of(&[&[600]], &[600], |inputs, out| Nest {
        name: "exponential".into(),
        parallel: vec![axis("x", 600)],
        reduction: None,
        reads: vec![at(&inputs[0], vec![Index::axis(0)])],
        store: Expression::new(|e| {
            let x = e.read(0);
            e.call(Function::Exponential, &[x])
        }),
        write: at(out, vec![Index::axis(0)]),
    });
    let inputs = inputs_of(&graph);
    let real = interpret_real(&Plan::new(graph.clone(), Mode::Fast), &inputs);
    let expected: Vec<f64> = inputs[0].iter().map(|word| f64::from(f32::from_bits(*word)).exp()).collect();
    assert_eq!(real[0].values, expected);
    equals_naive(graph);
}

#[test]
fn a_plan_reads_as_sentences() {
    let text = |graph| Plan::new(graph, Mode::Strict).to_string();
    insta::assert_snapshot!([text(convolution()), text(reduction(Combine::Sum, 0.0, 20))].join("\n"));
}
