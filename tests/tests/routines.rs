//! Routines: the kernel equals the interpreter bit for bit, on ncnn's cases and on whatever data there may be.

use ncnnc_compiler::graph::{
    Crop, Detections, Element, Graph, Operation, Output, Routine, RoutineKind, Source, Ties, View,
};
use ncnnc_compiler::kernel::interpret_kernel;
use ncnnc_compiler::mode::Mode;
use ncnnc_compiler::plan::{Plan, Value, interpret};
use ncnnc_compiler::schedule::routine;
use ncnnc_tests::cases::read_cases;
use ncnnc_tests::lowered::{Lowered, known_case};
use ncnnc_tests::random::Random;
use ncnnc_tests::shared::shared;

/// What a buffer holds before anything has been written: a NaN.
const GARBAGE: u32 = 0x7fc0_dead;

/// Runs the kernel of a routine on what it reads; gives the shape and elements of the first tensor it writes.
fn run_kernel(graph: &Graph, routine: &Routine, reads: &[Vec<u32>]) -> Value {
    let kernel = routine::kernel(&Plan::new(graph.clone(), Mode::Strict), routine, 8);
    let mut buffers = reads.to_vec();
    buffers.extend(kernel.buffers[reads.len()..].iter().map(|buffer| vec![GARBAGE; buffer.words()]));
    interpret_kernel(&kernel, &mut buffers);
    let shape: Vec<usize> = buffers[reads.len() + 1].iter().map(|extent| *extent as usize).collect();
    let words = buffers[reads.len()][..shape.iter().product()].to_vec();
    Value { shape, words }
}

fn canonical(value: Value) -> Value {
    let one_nan = |word: u32| if f32::from_bits(word).is_nan() { f32::NAN.to_bits() } else { word };
    Value { words: value.words.into_iter().map(one_nan).collect(), ..value }
}

#[test]
fn kernels_equal_the_interpreter_on_every_case() {
    let Some(folder) = shared("conformance/layers") else { return };
    let mut checked = 0;
    for case in read_cases(&folder, |layer| layer == "Crop" || layer.ends_with("DetectionOutput")) {
        let Some(Lowered { graph, inputs }) = known_case(&case) else { continue };
        let routine = graph.operations.iter().find_map(|operation| match operation {
            Operation::Routine(routine) => Some(routine.clone()),
            Operation::Nest(_) => None,
        });
        let Some(routine) = routine else { continue };
        let want = interpret(&Plan::new(graph.clone(), Mode::Strict), &inputs);
        let mut before = graph.clone();
        let output = |view: &View| Output { name: graph.tensor(view.tensor).name.clone(), view: view.clone() };
        before.outputs = routine.reads.iter().map(output).collect();
        let reads: Vec<Vec<u32>> =
            interpret(&Plan::new(before, Mode::Strict), &inputs).into_iter().map(|value| value.words).collect();
        let got = run_kernel(&graph, &routine, &reads);
        assert_eq!(canonical(got), canonical(want[0].clone()), "{}", case.id);
        checked += 1;
    }
    println!("{checked} cases");
    assert!(checked >= 24, "only {checked} cases of the detection layers");
}

/// A graph of nothing but a routine that reads the caller's tensors.
fn alone(kind: RoutineKind, reads: &[(&[usize], Element)], capacity: &[usize]) -> Graph {
    let mut graph = Graph::default();
    let mut views = Vec::new();
    for (i, (shape, element)) in reads.iter().enumerate() {
        let id = graph.add_tensor(&format!("in{i}"), shape, *element, Source::Input);
        graph.inputs.push(id);
        views.push(graph.view(id));
    }
    let to = graph.add_tensor("out", capacity, Element::F32, Source::Computed);
    let extents = graph.add_tensor("extents", &[capacity.len()], Element::I32, Source::Computed);
    let routine = Routine { name: "routine".to_string(), kind, reads: views, writes: vec![to, extents] };
    graph.operations.push(Operation::Routine(routine));
    let view = View { extents: Some(extents), ..graph.view(to) };
    graph.outputs.push(Output { name: "out".to_string(), view });
    graph.verify();
    graph
}

/// The interpreter's result, after checking that the kernel's is the same.
fn check(graph: &Graph, reads: &[Vec<u32>]) -> Value {
    let [Operation::Routine(routine)] = &graph.operations[..] else { panic!("a routine alone") };
    let want = canonical(interpret(&Plan::new(graph.clone(), Mode::Strict), reads).remove(0));
    assert_eq!(canonical(run_kernel(graph, routine, reads)), want, "{:?} of {reads:x?}", routine.kind);
    want
}

/// A float from a small set, so that ties are common, or anything at all.
fn float(random: &mut Random, wild: bool) -> u32 {
    if wild && random.below(4) == 0 { random.word() } else { (random.below(9) as f32 * 0.125).to_bits() }
}

fn detections(groups: usize, candidates: usize) -> Detections {
    Detections {
        groups,
        candidates,
        threshold: 0.25,
        inclusive: false,
        overlap: 0.4,
        by_product: false,
        most_in_group: candidates,
        most: groups * candidates,
        ties: Ties::AsQuicksort,
    }
}

fn detection_graph(kind: Detections, labels: usize) -> Graph {
    let (groups, candidates) = (kind.groups, kind.candidates);
    let capacity = [kind.rows(), 6];
    let shapes: [&[usize]; 4] = [&[candidates, 4], &[candidates], &[groups, candidates], &[groups, labels]];
    alone(RoutineKind::Detections(kind), &shapes.map(|shape| (shape, Element::F32)), &capacity)
}

#[test]
fn detections_agree_on_any_data() {
    let mut random = Random(7);
    let mut found = 0;
    for round in 0..300 {
        let (groups, candidates) = (1 + random.below(4), 1 + random.below(40));
        let kind = Detections {
            inclusive: random.below(2) == 0,
            by_product: random.below(2) == 0,
            most_in_group: random.below(candidates + 2),
            most: random.below(groups * candidates + 2),
            ties: if random.below(2) == 0 { Ties::InOrder } else { Ties::AsQuicksort },
            ..detections(groups, candidates)
        };
        let labels = if random.below(2) == 0 { 1 } else { candidates };
        let graph = detection_graph(kind, labels);
        let wild = round % 2 == 1;
        let reads: Vec<Vec<u32>> = [4 * candidates, candidates, groups * candidates, groups * labels]
            .map(|words| (0..words).map(|_| float(&mut random, wild)).collect())
            .to_vec();
        found += check(&graph, &reads).shape[0];
    }
    assert!(found > 500, "only {found} detections: the data are too tame");
}

#[test]
fn equal_scores_are_in_the_order_asked_for_and_overlaps_go() {
    // Disjoint boxes at 0, 2, 4, ... but the third one, which is where the first one is.
    let starts = [0.0, 2.0, 0.0, 4.0, 6.0];
    let boxes = starts.iter().flat_map(|start| [*start, 0.0, start + 1.0, 1.0]).map(f32::to_bits).collect();
    let areas = vec![1.0f32.to_bits(); 5];
    let scores = [0.5, 0.75, 0.5, 0.5, 0.25f32].map(f32::to_bits).to_vec();
    let labels = [10.0, 11.0, 12.0, 13.0, 14.0f32].map(f32::to_bits).to_vec();
    let reads = [boxes, areas, scores, labels];
    // The threshold itself is not enough here.
    for (ties, wanted) in [(Ties::InOrder, [11.0, 10.0, 13.0]), (Ties::AsQuicksort, [11.0, 12.0, 13.0])] {
        let value = check(&detection_graph(Detections { ties, ..detections(1, 5) }, 5), &reads);
        let labels: Vec<f32> = value.words.chunks(6).map(|row| f32::from_bits(row[0])).collect();
        assert_eq!((value.shape, &labels[..]), (vec![3, 6], &wanted[..]), "{ties:?}");
    }
}

#[test]
fn nothing_detected_is_an_empty_output() {
    let words = |count: usize| vec![0.0f32.to_bits(); count];
    let value = check(&detection_graph(detections(2, 3), 1), &[words(12), words(3), words(6), words(2)]);
    assert_eq!(value.shape, [0, 6]);
}

#[test]
fn crops_agree_on_any_data() {
    let mut random = Random(11);
    for _ in 0..300 {
        let rank = 1 + random.below(4);
        let shape: Vec<usize> = (0..rank).map(|_| 1 + random.below(5)).collect();
        let kind = Crop { offsets: (0..rank).collect(), sizes: (rank..2 * rank).collect() };
        let reads: [(&[usize], Element); 2] = [(&shape, Element::F32), (&[2 * rank], Element::I32)];
        let graph = alone(RoutineKind::Crop(kind), &reads, &shape);
        let elements = (0..shape.iter().product::<usize>()).map(|i| i as u32).collect();
        let integers =
            (0..2 * rank).map(|_| if random.below(5) == 0 { random.word() } else { random.below(5) as u32 }).collect();
        check(&graph, &[elements, integers]);
    }
}

#[test]
fn a_crop_within_the_tensor_is_that_part() {
    let kind = Crop { offsets: vec![1, 0], sizes: vec![4, 3] };
    let graph = alone(RoutineKind::Crop(kind), &[(&[3, 4], Element::F32), (&[6], Element::I32)], &[3, 4]);
    // Offsets x 1, y 1; sizes x 2, y 2.
    let value = check(&graph, &[(0..12).collect(), vec![1, 1, 0, 2, 2, 0]]);
    assert_eq!(value, Value { shape: vec![2, 2], words: vec![5, 6, 9, 10] });
    // A size too large ends at the edge; an offset beyond it leaves nothing.
    let value = check(&graph, &[(0..12).collect(), vec![3, 2, 0, 9, 9, 0]]);
    assert_eq!(value, Value { shape: vec![1, 1], words: vec![11] });
    let value = check(&graph, &[(0..12).collect(), vec![4, 0, 0, 1, 1, 0]]);
    assert_eq!(value.shape, [1, 0]);
}
