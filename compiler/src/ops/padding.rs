//! Padding: the input with a border. Source: `src/layer/padding.cpp`.
//!
//! A border of negative width takes elements away, where ncnn stays within its memory doing so: in front and behind; to the
//! left of short rows; to the right where a constant border below is written over what its rows have spilled. At the top it
//! takes rows from the other end, where the border below begins.

use super::Lowering;
use super::shape::{Side, sides};
use super::signature::{Accepts, ONE_TO_ONE, Parameter, Signature};
use crate::diagnostic::Diagnostic;
use crate::expression::Expression;
use crate::graph::{Index, View};
use crate::ncnn::{Layer, Parameters, WeightReader, Weights};
use std::ops::Range;

const TOP: u32 = 0;
const BOTTOM: u32 = 1;
const LEFT: u32 = 2;
const RIGHT: u32 = 3;
const BORDER: u32 = 4;
const VALUES: u32 = 6;
const FRONT: u32 = 7;
const BEHIND: u32 = 8;

const CONSTANT: i32 = 0;
const NEAREST: i32 = 1;
const REFLECTION: i32 = 2;

const BORDERS: &[(i32, &str)] =
    &[(CONSTANT, "constant"), (NEAREST, "the nearest element"), (REFLECTION, "reflected at the outermost element")];

/// Front and behind are along the channels of three-dimensional and the depth of four-dimensional blobs.
pub(super) const SIGNATURE: Signature = Signature::new(
    ONE_TO_ONE,
    &[
        Parameter::new(TOP, "width of the border at the top", Accepts::Integer),
        Parameter::new(BOTTOM, "width of the border below", Accepts::Integer),
        Parameter::new(LEFT, "width of the border to the left", Accepts::Integer),
        Parameter::new(RIGHT, "width of the border to the right", Accepts::Integer),
        Parameter::new(BORDER, "border", Accepts::OneOf(BORDERS)),
        Parameter::new(5, "value of a constant border", Accepts::Float),
        Parameter::new(VALUES, "number of values, one for each channel", Accepts::AtLeast(0)),
        Parameter::new(FRONT, "width of the border in front", Accepts::Integer),
        Parameter::new(BEHIND, "width of the border behind", Accepts::Integer),
    ],
)
.rules(&[keeps_its_right]);

/// Refuses a border that is negative to the right and has nothing below it, which ncnn can make of no input.
fn keeps_its_right(layer: &Layer) -> Result<(), Diagnostic> {
    let [top, bottom, right, border] = [TOP, BOTTOM, RIGHT, BORDER].map(|id| layer.parameters.int(id, 0));
    let is_overwritten = border == CONSTANT && bottom > 0;
    if right < 0 && top >= 0 && !is_overwritten { Err(leaves_memory(layer, RIGHT, Side::Width)) } else { Ok(()) }
}

/// The error that a border is negative where ncnn doesn't stay within its memory.
fn leaves_memory(layer: &Layer, id: u32, side: Side) -> Diagnostic {
    let (name, width) = (side.letter(), layer.parameters.int(id, 0));
    let message = format!("a border of {width} elements along {name}, where ncnn leaves its memory");
    layer.error_in(id, message).hint("to make a blob smaller use Crop")
}

pub(super) fn weights(layer: &Layer, reader: &mut WeightReader) -> Result<Vec<Weights>, Diagnostic> {
    match layer.parameters.int(VALUES, 0) {
        0 => Ok(Vec::new()),
        count => {
            let count = reader.count(&[count])?;
            Ok(vec![reader.raw(count)?])
        }
    }
}

/// What the border holds.
#[derive(Clone, Copy, PartialEq)]
enum Border {
    Constant,
    Nearest,
    Reflection,
}

/// An axis and its border.
struct Bordered {
    side: Side,
    /// Elements of the input.
    extent: i64,
    /// The widths of the border.
    before: i64,
    after: i64,
    /// Which parameters these are, in an axis that can have a border.
    ids: [u32; 2],
}

impl Bordered {
    fn out_extent(&self) -> i64 {
        self.extent + self.before + self.after
    }

    /// Whether elements are left out at the far end for a border before them that is negative.
    fn drops_the_last(&self) -> bool {
        self.side == Side::Height && self.before < 0
    }

    /// How far the input's elements are moved.
    fn moved_by(&self) -> i64 {
        if self.drops_the_last() { 0 } else { self.before }
    }

    /// Where the output holds elements of the input.
    fn inside(&self) -> Range<usize> {
        let within = |at: i64| at.clamp(0, self.out_extent()) as usize;
        within(self.before)..within(self.before + self.extent)
    }

    /// Where the output reads in the input; outside it for a constant border.
    fn index(&self, border: Border, axis: usize) -> Index {
        if (self.before, self.after) == (0, 0) {
            return Index::axis(axis);
        }
        let table = |place: &dyn Fn(i64) -> i64| -> Index {
            let places: Vec<i64> = (0..self.out_extent()).map(|at| place(at - self.moved_by())).collect();
            Index::table(axis, places)
        };
        let inside = self.inside();
        let last = if self.drops_the_last() { inside.end as i64 } else { self.extent } - 1;
        match border {
            Border::Constant if self.drops_the_last() => table(&|at| if at > last { -1 } else { at }),
            Border::Constant => Index::axis(axis).moved(-self.before),
            Border::Nearest => table(&|at| at.clamp(0, last)),
            Border::Reflection => table(&|at| last - (at.abs() - last).abs()),
        }
    }
}

/// Rows at least this long are copied by ncnn in one piece, which begins before them where their border is negative.
const COPIED_WHOLE: i64 = 12;

pub(super) fn lower(l: &mut Lowering) -> Result<(), Diagnostic> {
    let input = l.fixed_input(0)?;
    let parameters = &l.layer.parameters;
    let border = match parameters.int(BORDER, CONSTANT) {
        CONSTANT => Border::Constant,
        NEAREST => Border::Nearest,
        _ => Border::Reflection,
    };
    let value = parameters.float(5, 0.0);
    let axes = bordered(parameters, &input);
    let out_shape = l.shape(&axes.iter().map(Bordered::out_extent).collect::<Vec<_>>())?;
    check_borders(l, border, &axes)?;
    if axes.iter().all(|axis| (axis.before, axis.after) == (0, 0)) {
        l.set_output(0, input);
        return Ok(());
    }
    if border != Border::Constant || axes.iter().any(Bordered::drops_the_last) {
        l.tabulated(&out_shape)?;
    }
    let index: Vec<Index> = axes.iter().enumerate().map(|(at, axis)| axis.index(border, at)).collect();
    if border == Border::Constant && parameters.int(VALUES, 0) != 0 && out_shape.len() >= 3 {
        return by_channel(l, &input, index, &axes, &out_shape);
    }
    let output = l.moved_output(0, &out_shape, &input);
    let read = input.at(index);
    let read = if border == Border::Constant { read.or(value) } else { read };
    l.map(&output, vec![read], Expression::read_of(0));
    Ok(())
}

fn bordered(parameters: &Parameters, input: &View) -> Vec<Bordered> {
    let rank = input.shape.len();
    let axis = |(side, extent): (&Side, &usize)| {
        let ids = match (side, rank) {
            (Side::Width, _) => [LEFT, RIGHT],
            (Side::Height, _) => [TOP, BOTTOM],
            (Side::Depth, _) | (Side::Channels, 3) => [FRONT, BEHIND],
            (Side::Channels, _) => {
                return Bordered { side: *side, extent: *extent as i64, before: 0, after: 0, ids: [0; 2] };
            }
        };
        let [before, after] = ids.map(|id| i64::from(parameters.int(id, 0)));
        Bordered { side: *side, extent: *extent as i64, before, after, ids }
    };
    sides(rank).iter().zip(&input.shape).map(axis).collect()
}

/// Refuses borders that ncnn can't make without leaving its memory.
fn check_borders(l: &Lowering, border: Border, axes: &[Bordered]) -> Result<(), Diagnostic> {
    let height = axes.iter().find(|axis| axis.side == Side::Height);
    let rows = height.map_or(1, |axis| axis.inside().len() as i64);
    let below = height.map_or(0, |axis| axis.after);
    for Bordered { side, extent, before, after, ids: [first, second] } in axes {
        if border == Border::Reflection && before.max(after) >= extent {
            let message = format!("{extent} elements can't be reflected by {}", before.max(after));
            let id = if before < after { second } else { first };
            return Err(l.error_in(*id, message).hint("a reflected border must be narrower than the input"));
        }
        let out_width = extent + before + after;
        let spilled = if rows > 0 { -after } else { 0 };
        let (starts, ends) = match side {
            Side::Channels | Side::Depth => (true, true),
            Side::Height => (border == Border::Constant || border == Border::Nearest && rows > 0, false),
            Side::Width => (*extent < COPIED_WHOLE, border == Border::Constant && below * out_width >= spilled),
        };
        let undefined = if *before < 0 && !starts { Some(first) } else { (*after < 0 && !ends).then_some(second) };
        if let Some(id) = undefined {
            return Err(leaves_memory(l.layer, *id, *side));
        }
    }
    Ok(())
}

/// A constant border whose value depends on the channel of the output.
fn by_channel(
    l: &mut Lowering,
    input: &View,
    index: Vec<Index>,
    axes: &[Bordered],
    out_shape: &[usize],
) -> Result<(), Diagnostic> {
    let values = l.weight(0, "border", &[out_shape[0] as i64])?;
    let ranges: Vec<_> = axes.iter().map(Bordered::inside).collect();
    let inside = l.inside(out_shape, &ranges)?;
    let output = l.output(0, out_shape);
    let reads = vec![input.at(index).or(0.0), values.at(vec![Index::axis(0)]), inside];
    let value = Expression::new(|e| {
        let (x, border, inside, one) = (e.read(0), e.read(1), e.read(2), e.constant(1.0));
        let within = e.equal(inside, one);
        e.select(within, x, border)
    });
    l.map(&output, reads, value);
    Ok(())
}
