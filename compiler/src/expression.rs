//! Scalar expressions: what a nest computes for one element, as a graph of instructions and elementary functions.
//!
//! Owns the nodes, their sharing and their text. Must not know tensors, loops or targets: an expression reads numbered
//! operands, and whoever holds it says what they are.

use crate::function::Function;
use crate::instruction::Instruction;
use std::fmt::{self, Display, Write};

/// A node of an [`Expression`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NodeId(pub u32);

/// One step of an expression; operands come before the steps that use them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Node {
    /// The operand with this number.
    Read(usize),
    /// A constant, as the bits of an `f32`.
    Constant(u32),
    /// An instruction of the table.
    Apply(Instruction, Vec<NodeId>),
    /// An elementary function, which the plan replaces by instructions.
    Call(Function, Vec<NodeId>),
}

impl Node {
    /// The nodes it is made of.
    pub fn operands(&self) -> &[NodeId] {
        match self {
            Self::Read(_) | Self::Constant(_) => &[],
            Self::Apply(_, ids) | Self::Call(_, ids) => ids,
        }
    }

    /// The same step of other nodes.
    fn moved(&self, to: impl Fn(NodeId) -> NodeId) -> Self {
        let moved = |ids: &[NodeId]| ids.iter().map(|id| to(*id)).collect();
        match self {
            Self::Read(_) | Self::Constant(_) => self.clone(),
            Self::Apply(instruction, ids) => Self::Apply(*instruction, moved(ids)),
            Self::Call(function, ids) => Self::Call(*function, moved(ids)),
        }
    }
}

/// An expression over numbered operands. Equal nodes are one node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Expression {
    /// Every step, operands first.
    pub nodes: Vec<Node>,
    /// The nodes whose values are wanted, usually one.
    pub results: Vec<NodeId>,
}

impl Expression {
    /// An expression with one result, built by `build`.
    pub fn new(build: impl FnOnce(&mut Expression) -> NodeId) -> Self {
        let mut expression = Self::default();
        let result = build(&mut expression);
        expression.results.push(result);
        expression
    }

    /// The operand itself.
    pub fn read_of(operand: usize) -> Self {
        Self::new(|e| e.read(operand))
    }

    /// A constant, whatever the operands.
    pub fn constant_of(value: f32) -> Self {
        Self::new(|e| e.constant(value))
    }

    /// The only result.
    pub fn result(&self) -> NodeId {
        let [result] = self.results[..] else { panic!("an expression with one result") };
        result
    }

    /// Adds a node, or finds the equal one that is there.
    pub fn node(&mut self, node: Node) -> NodeId {
        // Expressions hold at most a few hundred nodes, so a search beats the upkeep of a table.
        let at = self.nodes.iter().position(|old| *old == node).unwrap_or_else(|| {
            self.nodes.push(node);
            self.nodes.len() - 1
        });
        NodeId(at as u32)
    }

    /// The operand with this number.
    pub fn read(&mut self, operand: usize) -> NodeId {
        self.node(Node::Read(operand))
    }

    /// A constant.
    pub fn constant(&mut self, value: f32) -> NodeId {
        self.node(Node::Constant(value.to_bits()))
    }

    /// A constant given by its bits: an integer, or a float beyond decimal notation.
    pub fn bits(&mut self, bits: u32) -> NodeId {
        self.node(Node::Constant(bits))
    }

    /// An instruction applied to nodes.
    pub fn apply(&mut self, instruction: Instruction, operands: &[NodeId]) -> NodeId {
        assert_eq!(operands.len(), instruction.arity(), "operands of {}", instruction.text());
        self.node(Node::Apply(instruction, operands.to_vec()))
    }

    /// An elementary function of nodes.
    pub fn call(&mut self, function: Function, operands: &[NodeId]) -> NodeId {
        assert_eq!(operands.len(), function.arity(), "operands of {}", function.text());
        self.node(Node::Call(function, operands.to_vec()))
    }

    /// Copies `other` into this expression with its operand `i` replaced by `operands[i]`; gives its results.
    pub fn inline(&mut self, other: &Expression, operands: &[NodeId]) -> Vec<NodeId> {
        self.inline_with(other, |_, operand| operands[operand])
    }

    /// The same, asking `operand` for a node in the place of each operand that is read.
    pub fn inline_with(
        &mut self,
        other: &Expression,
        operand: impl Fn(&mut Expression, usize) -> NodeId,
    ) -> Vec<NodeId> {
        let mut copies: Vec<NodeId> = Vec::with_capacity(other.nodes.len());
        for node in &other.nodes {
            let moved = |ids: &[NodeId]| ids.iter().map(|id| copies[id.0 as usize]).collect::<Vec<_>>();
            let copy = match node {
                Node::Read(number) => operand(self, *number),
                Node::Constant(bits) => self.bits(*bits),
                Node::Apply(instruction, ids) => self.node(Node::Apply(*instruction, moved(ids))),
                Node::Call(function, ids) => self.node(Node::Call(*function, moved(ids))),
            };
            copies.push(copy);
        }
        other.results.iter().map(|id| copies[id.0 as usize]).collect()
    }

    /// The same expression with every elementary function replaced by its instructions.
    pub fn expanded(&self) -> Expression {
        let mut expanded = Expression::default();
        let mut copies: Vec<NodeId> = Vec::with_capacity(self.nodes.len());
        for node in &self.nodes {
            let moved = |ids: &[NodeId]| ids.iter().map(|id| copies[id.0 as usize]).collect::<Vec<_>>();
            let copy = match node {
                Node::Read(operand) => expanded.read(*operand),
                Node::Constant(bits) => expanded.bits(*bits),
                Node::Apply(instruction, ids) => expanded.node(Node::Apply(*instruction, moved(ids))),
                Node::Call(function, ids) => function.expand(&mut expanded, &moved(ids)),
            };
            copies.push(copy);
        }
        expanded.results = self.results.iter().map(|id| copies[id.0 as usize]).collect();
        expanded
    }

    /// The same expression without the nodes that no result needs.
    pub fn pruned(&self) -> Expression {
        let mut needed = vec![false; self.nodes.len()];
        self.results.iter().for_each(|id| needed[id.0 as usize] = true);
        for (at, node) in self.nodes.iter().enumerate().rev().filter(|(_, node)| !node.operands().is_empty()) {
            if needed[at] {
                node.operands().iter().for_each(|id| needed[id.0 as usize] = true);
            }
        }
        let mut pruned = Expression::default();
        let mut copies = vec![NodeId(0); self.nodes.len()];
        for (at, node) in self.nodes.iter().enumerate().filter(|(at, _)| needed[*at]) {
            copies[at] = NodeId(pruned.nodes.len() as u32);
            pruned.nodes.push(node.moved(|id| copies[id.0 as usize]));
        }
        pruned.results = self.results.iter().map(|id| copies[id.0 as usize]).collect();
        pruned
    }

    /// Evaluates one element in `f32`, exactly as compiled code does; words in, words out.
    ///
    /// `scratch` is reused between elements. Elementary functions must have been expanded.
    pub fn evaluate(&self, operand: impl Fn(usize) -> u32, scratch: &mut Vec<u32>) {
        scratch.clear();
        for node in &self.nodes {
            let value = match node {
                Node::Read(number) => operand(*number),
                Node::Constant(bits) => *bits,
                Node::Apply(instruction, ids) => {
                    let mut operands = [0; 3];
                    for (slot, id) in operands.iter_mut().zip(ids) {
                        *slot = scratch[id.0 as usize];
                    }
                    instruction.lane(&operands[..ids.len()])
                }
                Node::Call(function, _) => panic!("{} has not been expanded", function.text()),
            };
            scratch.push(value);
        }
    }

    /// Evaluates `lanes` elements at once in `f32`, to the same bits as [`Self::evaluate`] and much faster.
    ///
    /// `operands[i]` holds operand `i` of every element. Afterwards the values of node `id` are
    /// `scratch[id * lanes..][..lanes]`. Elementary functions must have been expanded.
    pub fn evaluate_batch(&self, operands: &[&[u32]], lanes: usize, scratch: &mut Vec<u32>) {
        scratch.clear();
        scratch.resize(self.nodes.len() * lanes, 0);
        for (at, node) in self.nodes.iter().enumerate() {
            let (earlier, rest) = scratch.split_at_mut(at * lanes);
            let out = &mut rest[..lanes];
            match node {
                Node::Read(number) => out.copy_from_slice(&operands[*number][..lanes]),
                Node::Constant(bits) => out.fill(*bits),
                Node::Apply(instruction, ids) => {
                    let mut columns: [&[u32]; 3] = [&[]; 3];
                    for (column, id) in columns.iter_mut().zip(ids) {
                        *column = &earlier[id.0 as usize * lanes..][..lanes];
                    }
                    instruction.lanes(&columns[..ids.len()], out);
                }
                Node::Call(function, _) => panic!("{} has not been expanded", function.text()),
            }
        }
    }

    /// Evaluates one element in double precision, for error reports: functions by their definitions, not polynomials.
    pub fn evaluate_real(&self, operand: impl Fn(usize) -> f64, scratch: &mut Vec<f64>) {
        scratch.clear();
        for node in &self.nodes {
            let value = match node {
                Node::Read(number) => operand(*number),
                Node::Constant(bits) => f64::from(f32::from_bits(*bits)),
                Node::Apply(instruction, ids) => {
                    let mut operands = [0.0; 3];
                    for (slot, id) in operands.iter_mut().zip(ids) {
                        *slot = scratch[id.0 as usize];
                    }
                    instruction.real(&operands[..ids.len()]).expect("instructions on bits stand only inside functions")
                }
                Node::Call(function, ids) => {
                    let operands: Vec<f64> = ids.iter().map(|id| scratch[id.0 as usize]).collect();
                    function.real(&operands)
                }
            };
            scratch.push(value);
        }
    }

    /// Writes one result as nested calls, operands under the names that `name` gives them.
    pub fn write_result(&self, result: NodeId, name: &dyn Fn(usize) -> String) -> String {
        let mut text = String::new();
        self.write_node(result, name, &mut text).expect("writing to a string");
        text
    }

    fn write_node(&self, id: NodeId, name: &dyn Fn(usize) -> String, out: &mut String) -> fmt::Result {
        let (head, operands) = match &self.nodes[id.0 as usize] {
            Node::Read(operand) => return out.write_str(&name(*operand)),
            Node::Constant(bits) => return write!(out, "{:?}", f32::from_bits(*bits)),
            Node::Apply(instruction, operands) => (instruction.text(), operands),
            Node::Call(function, operands) => (function.text(), operands),
        };
        write!(out, "{head}(")?;
        for (i, operand) in operands.iter().enumerate() {
            if i > 0 {
                out.write_str(", ")?;
            }
            self.write_node(*operand, name, out)?;
        }
        out.write_str(")")
    }
}

impl Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let texts: Vec<_> = self.results.iter().map(|r| self.write_result(*r, &|i| format!("${i}"))).collect();
        f.write_str(&texts.join("; "))
    }
}

/// Short names for the instructions, so that formulas read as formulas.
macro_rules! formulas {
    ($($name:ident $Instruction:ident ($($operand:ident),*);)*) => {
        impl Expression { $(
            #[doc = concat!("[`Instruction::", stringify!($Instruction), "`] of nodes.")]
            pub fn $name(&mut self, $($operand: NodeId),*) -> NodeId {
                self.apply(Instruction::$Instruction, &[$($operand),*])
            }
        )* }
    };
}

formulas! {
    add Add (a, b);
    sub Subtract (a, b);
    mul Multiply (a, b);
    div Divide (a, b);
    fma FusedMultiplyAdd (a, b, c);
    sqrt SquareRoot (a);
    neg Negate (a);
    abs Absolute (a);
    max Maximum (a, b);
    min Minimum (a, b);
    floor Floor (a);
    ceil Ceiling (a);
    trunc Truncate (a);
    round_even RoundEven (a);
    less Less (a, b);
    less_equal LessEqual (a, b);
    equal Equal (a, b);
    ordered Ordered (a, b);
    select Select (mask, a, b);
    and And (a, b);
    or Or (a, b);
    xor ExclusiveOr (a, b);
    integer_add IntegerAdd (a, b);
    integer_sub IntegerSubtract (a, b);
    integer_mul IntegerMultiply (a, b);
    shift_left ShiftLeft (a, b);
    shift_right ShiftRight (a, b);
    shift_right_signed ShiftRightSigned (a, b);
    integer_less IntegerLess (a, b);
    integer_equal IntegerEqual (a, b);
    to_integer ToInteger (a);
    from_integer FromInteger (a);
}
