//! What each pass makes of a small graph.

use super::{PASSES, run};
use crate::expression::Expression;
use crate::graph::{
    Access, Axis, Combine, Element, Graph, Index, Nest, Operation, Output, Reduction, Source, TensorId, View,
};
use crate::mode::Mode;

/// A graph under construction; tensors are `channels x width`.
#[derive(Default)]
struct Sketch {
    graph: Graph,
}

const AXES: [&str; 2] = ["c", "x"];

fn loops(shape: &[usize]) -> Vec<Axis> {
    shape.iter().zip(AXES).map(|(extent, name)| Axis { name, extent: *extent }).collect()
}

fn elementwise(view: &View) -> Access {
    Access::new(view.tensor, &view.shape, (0..view.shape.len()).map(Index::axis).collect())
}

fn per_channel(view: &View) -> Access {
    Access::new(view.tensor, &view.shape, vec![Index::axis(0)])
}

impl Sketch {
    fn tensor(&mut self, name: &str, shape: &[usize], source: Source) -> View {
        let id = self.graph.add_tensor(name, shape, Element::F32, source);
        self.graph.view(id)
    }

    fn input(&mut self, name: &str, shape: &[usize]) -> View {
        let view = self.tensor(name, shape, Source::Input);
        self.graph.inputs.push(view.tensor);
        view
    }

    fn constant(&mut self, name: &str, shape: &[usize], value: impl Fn(usize) -> f32) -> View {
        let words = (0..shape.iter().product()).map(|i| value(i).to_bits()).collect();
        self.tensor(name, shape, Source::Constant(words))
    }

    fn nest(&mut self, nest: Nest) {
        self.graph.operations.push(Operation::Nest(nest));
    }

    /// `name[c, x] = value(reads)` under the layer's own name.
    fn map(&mut self, name: &str, shape: &[usize], reads: Vec<Access>, value: Expression) -> View {
        let to = self.tensor(name, shape, Source::Computed);
        self.map_to(name, elementwise(&to), loops(shape), reads, value);
        to
    }

    fn map_to(&mut self, name: &str, write: Access, parallel: Vec<Axis>, reads: Vec<Access>, store: Expression) {
        self.nest(Nest { name: name.to_string(), parallel, reduction: None, reads, store, write });
    }

    fn copy(&mut self, name: &str, shape: &[usize], read: Access) -> View {
        self.map(name, shape, vec![read], Expression::read_of(0))
    }

    fn relu(&mut self, name: &str, of: &View) -> View {
        let value = Expression::new(|e| {
            let (x, zero) = (e.read(0), e.constant(0.0));
            e.max(x, zero)
        });
        self.map(name, &of.shape.clone(), vec![elementwise(of)], value)
    }

    fn binary(&mut self, name: &str, a: Access, b: Access, shape: &[usize], product: bool) -> View {
        let value = Expression::new(|e| {
            let (x, y) = (e.read(0), e.read(1));
            if product { e.mul(x, y) } else { e.add(x, y) }
        });
        self.map(name, shape, vec![a, b], value)
    }

    /// A 1x1 convolution to `outputs` channels, with a bias.
    fn convolution(&mut self, name: &str, of: &View, outputs: usize) -> View {
        let (channels, width) = (of.shape[0], of.shape[1]);
        let weight = self.constant(&format!("{name}.weight"), &[outputs, channels], |i| 0.1 + i as f32);
        let bias = self.constant(&format!("{name}.bias"), &[outputs], |i| 0.3 * i as f32);
        let to = self.tensor(name, &[outputs, width], Source::Computed);
        let mut term = Expression::default();
        term.results = vec![term.read(0), term.read(1)];
        self.nest(Nest {
            name: name.to_string(),
            parallel: loops(&to.shape),
            reduction: Some(Reduction {
                axes: vec![Axis { name: "k", extent: channels }],
                combine: Combine::FusedSum,
                start: Expression::read_of(2),
                term,
            }),
            reads: vec![
                Access::new(weight.tensor, &weight.shape, vec![Index::axis(0), Index::axis(2)]),
                Access::new(of.tensor, &of.shape, vec![Index::axis(2), Index::axis(1)]),
                per_channel(&bias),
            ],
            store: Expression::read_of(3),
            write: elementwise(&to),
        });
        to
    }

    fn output(&mut self, view: View) {
        let name = self.graph.tensor(view.tensor).name.clone();
        self.graph.outputs.push(Output { name, view });
    }

    /// The text after one pass, and before it.
    fn after(self, pass: &str) -> String {
        let mut graph = self.graph;
        graph.verify();
        let before = graph.to_string();
        let pass = PASSES.iter().find(|row| row.name == pass).expect("a pass of the table");
        let changes = (pass.run)(&mut graph);
        graph.verify();
        format!("before:\n{before}\n{}:\n{}\n\nafter:\n{graph}", pass.name, changes.join("\n"))
    }
}

#[test]
fn activation_and_residual_fuse_into_the_later_convolution() {
    let mut s = Sketch::default();
    let x = s.input("x", &[4, 6]);
    let a = s.convolution("conv_a", &x, 8);
    let b = s.convolution("conv_b", &x, 8);
    let sum = s.binary("sum", elementwise(&a), elementwise(&b), &[8, 6], false);
    let y = s.relu("y", &sum);
    s.output(y);
    insta::assert_snapshot!(s.after("fuse"));
}

#[test]
fn both_branches_of_a_gate_fuse() {
    let mut s = Sketch::default();
    let x = s.input("x", &[4, 6]);
    let a = s.convolution("conv", &x, 8);
    let gate = s.relu("gate", &a);
    let y = s.binary("y", elementwise(&a), elementwise(&gate), &[8, 6], true);
    s.output(y);
    insta::assert_snapshot!(s.after("fuse"));
}

#[test]
fn parts_of_a_concatenation_are_written_by_their_producers() {
    let mut s = Sketch::default();
    let x = s.input("x", &[4, 6]);
    let a = s.convolution("conv_a", &x, 3);
    let b = s.convolution("conv_b", &x, 5);
    let whole = s.tensor("whole", &[8, 6], Source::Computed);
    for (part, first) in [(&a, 0), (&b, 3)] {
        let write = Access::new(whole.tensor, &whole.shape, vec![Index::axis(0).moved(first), Index::axis(1)]);
        s.map_to("concat", write, loops(&part.shape), vec![elementwise(part)], Expression::read_of(0));
    }
    s.output(whole);
    insta::assert_snapshot!(s.after("fuse"));
}

#[test]
fn a_flattened_view_fuses_by_splitting_its_loop() {
    let mut s = Sketch::default();
    let x = s.input("x", &[4, 6]);
    let a = s.convolution("conv", &x, 8);
    let scale = s.constant("scale", &[48], |i| i as f32);
    let flat = View { shape: vec![48], ..a };
    let y = s.binary("y", elementwise(&flat), elementwise(&scale), &[48], true);
    s.output(y);
    insta::assert_snapshot!(s.after("fuse"));
}

#[test]
fn what_others_see_or_what_is_read_otherwise_stays() {
    let mut s = Sketch::default();
    let x = s.input("x", &[4, 6]);
    // An output of its own.
    let a = s.convolution("wanted", &x, 8);
    let b = s.relu("b", &a);
    s.output(a);
    // Read in another order: a contraction isn't torn apart by a permutation.
    let c = s.convolution("conv", &b, 6);
    let transposed = Access::new(c.tensor, &c.shape, vec![Index::axis(1), Index::axis(0)]);
    let d = s.copy("d", &[6, 6], transposed);
    // Broadcast: one element is read many times.
    let e = s.convolution("column", &d, 1);
    let first = Access::new(e.tensor, &e.shape, vec![Index::constant(0), Index::constant(0)]);
    let f = s.copy("f", &[1, 6], first);
    s.output(f);
    insta::assert_snapshot!(s.after("fuse"));
}

#[test]
fn readers_look_through_slices_permutations_and_concatenations() {
    let mut s = Sketch::default();
    let x = s.input("x", &[4, 6]);
    let z = s.input("z", &[2, 3]);
    let slice =
        s.copy("slice", &[2, 6], Access::new(x.tensor, &x.shape, vec![Index::axis(0).moved(1), Index::axis(1)]));
    let turned = s.copy("turned", &[6, 2], {
        Access::new(slice.tensor, &slice.shape, vec![Index::table(1, [1, 0]), Index::axis(0)])
    });
    let a = s.relu("a", &turned);
    s.output(a);
    let whole = s.tensor("whole", &[2, 6], Source::Computed);
    for (first, part) in [(0, &z), (3, &z)] {
        let write = Access::new(whole.tensor, &whole.shape, vec![Index::axis(0), Index::axis(1).moved(first)]);
        s.map_to("concat", write, loops(&[2, 3]), vec![elementwise(part)], Expression::read_of(0));
    }
    let second = Access::new(whole.tensor, &whole.shape, vec![Index::axis(0), Index::axis(1).moved(3)]);
    let b = s.copy("b", &[2, 3], second);
    s.output(b);
    insta::assert_snapshot!(s.after("forward_copies"));
}

#[test]
fn a_padded_reader_looks_through_a_permutation_only() {
    let mut s = Sketch::default();
    let x = s.input("x", &[4, 6]);
    let turned = s.copy("turned", &[6, 4], Access::new(x.tensor, &x.shape, vec![Index::axis(1), Index::axis(0)]));
    let slice = s.copy("slice", &[4, 4], elementwise(&x));
    for (name, of) in [("a", turned), ("b", slice)] {
        let padded = Access::new(of.tensor, &of.shape, vec![Index::axis(0).moved(-1), Index::axis(1)]).or(0.0);
        let y = s.copy(name, &[8, 4], padded);
        s.output(y);
    }
    insta::assert_snapshot!(s.after("forward_copies"));
}

#[test]
fn a_contraction_keeps_its_dense_operand() {
    let mut s = Sketch::default();
    let x = s.input("x", &[4, 6]);
    let slice = s.copy("slice", &[2, 6], elementwise(&x));
    let a = s.relu("a", &slice);
    let y = s.convolution("y", &slice, 3);
    s.output(a);
    s.output(y);
    let mut graph = s.graph.clone();
    assert_eq!(super::forward_copies::run(&mut graph), Vec::<String>::new());
    assert_eq!(graph, s.graph);
}

#[test]
fn constants_are_computed_and_kept_once() {
    let mut s = Sketch::default();
    let x = s.input("x", &[2, 3]);
    let a = s.constant("a", &[2], |i| i as f32);
    let b = s.constant("b", &[2], |i| i as f32);
    let c = s.binary("c", per_channel(&a), per_channel(&b), &[2, 1], false);
    let used = s.binary("used", elementwise(&x), per_channel(&View { shape: vec![2], ..c }), &[2, 3], true);
    let y = s.binary("y", elementwise(&used), per_channel(&b), &[2, 3], true);
    let z = s.binary("z", elementwise(&y), per_channel(&a), &[2, 3], true);
    s.relu("unused", &x);
    s.output(z);
    let mut graph = s.graph;
    let folded = super::constant_fold::run(&mut graph);
    assert_eq!(folded, ["c is constant"]);
    let id = TensorId(graph.tensors.iter().position(|tensor| tensor.name == "c").expect("c"));
    assert_eq!(graph.constant(id).expect("folded")[..], [0.0f32.to_bits(), 2.0f32.to_bits()]);
    insta::assert_snapshot!(Sketch { graph }.after("eliminate"));
}

#[test]
fn normalisation_folds_into_weights_in_fast_mode_only() {
    let mut s = Sketch::default();
    let x = s.input("x", &[4, 6]);
    let a = s.convolution("conv", &x, 2);
    let scale = s.constant("scale", &[2], |i| 2.0 + i as f32);
    let shift = s.constant("shift", &[2], |i| 0.5 * i as f32);
    let value = Expression::new(|e| {
        let (x, scale, shift) = (e.read(0), e.read(1), e.read(2));
        e.fma(x, scale, shift)
    });
    let b = s.map("norm", &[2, 6], vec![elementwise(&a), per_channel(&scale), per_channel(&shift)], value);
    let y = s.relu("y", &b);
    s.output(y);
    let (strict, _) = run(s.graph.clone(), Mode::Strict);
    let (fast, changes) = run(s.graph, Mode::Fast);
    let changes: Vec<String> = changes.iter().map(|change| format!("{}: {}", change.pass, change.what)).collect();
    insta::assert_snapshot!(format!("strict:\n{strict}\nfast:\n{}\n{fast}", changes.join("\n")));
    let values = |name: &str| -> Vec<f32> {
        let id = fast.tensors.iter().position(|tensor| tensor.name == name).expect(name);
        fast.constant(TensorId(id)).expect(name).iter().map(|word| f32::from_bits(*word)).collect()
    };
    let expected = |i: usize| ((2 + i / 4) as f64 * f64::from(0.1 + i as f32)) as f32;
    assert_eq!(values("conv.weight.folded"), (0..8).map(expected).collect::<Vec<_>>());
    assert_eq!(values("conv.bias.folded"), [0.0, (3.0 * f64::from(0.3f32) + 0.5) as f32]);
}
