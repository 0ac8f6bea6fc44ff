//! Windows that slide over an axis: kernel, dilation, stride and padding, for convolutions and pooling alike.

use super::Lowering;
use super::signature::{Accepts, Parameter, warning};
use crate::diagnostic::Diagnostic;
use crate::graph::{Index, View};
use crate::ncnn::{Layer, Parameters};

/// The width of a kernel, and its height where that is another: for convolutions and pooling alike.
pub(super) const KERNEL_WIDTH: u32 = 1;
pub(super) const KERNEL_HEIGHT: u32 = 11;

/// How the windows of convolutions move, transposed ones as well.
pub(super) const OF_CONVOLUTION: &[Parameter] = &[
    Parameter::new(2, "dilation width", Accepts::AtLeast(1)),
    Parameter::new(3, "stride width", Accepts::AtLeast(1)),
    Parameter::new(4, "padding left", Accepts::Integer),
    Parameter::new(12, "dilation height", Accepts::AtLeast(1)),
    Parameter::new(13, "stride height", Accepts::AtLeast(1)),
    Parameter::new(14, "padding top", Accepts::Integer),
    Parameter::new(15, "padding right", Accepts::Integer),
    Parameter::new(16, "padding bottom", Accepts::Integer),
];

/// The ids of the padding of a convolution, each with that which it follows where it is left out.
const PADDING: [(u32, u32); 4] = [(4, 4), (15, 4), (14, 4), (16, 14)];

/// On all sides of a convolution: as many as make one window for every stride begun, the odd one after, or before.
pub(super) const SAME_UPPER: i32 = -233;
pub(super) const SAME_LOWER: i32 = -234;

/// How an axis is padded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Padding {
    /// So many elements before and after.
    Explicit(i64, i64),
    /// As many as make one window for every stride begun, the odd one after.
    SameUpper,
    /// The same with the odd one before.
    SameLower,
}

/// Parameters of one axis as the file gives them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    pub kernel: i64,
    pub dilation: i64,
    pub stride: i64,
    pub padding: Padding,
}

/// A window on an axis of known extent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    pub kernel: usize,
    pub dilation: usize,
    pub stride: usize,
    /// Elements of padding before the axis and behind it.
    pub before: i64,
    pub after: i64,
    /// Number of positions.
    pub outputs: i64,
}

impl Shape {
    /// The shape along the height: ncnn pads of a vector the width alone.
    pub(super) fn along_height(self, l: &Lowering) -> Self {
        let vector = l.inputs.first().is_some_and(|input| input.shape.len() == 1);
        if vector { Self { padding: Padding::Explicit(0, 0), ..self } } else { self }
    }

    /// From the first element of the kernel to the last, one more.
    pub(super) fn extent(self) -> i64 {
        self.dilation * (self.kernel - 1) + 1
    }

    /// The window on an axis of `extent` elements.
    ///
    /// # Errors
    /// When the kernel doesn't fit.
    pub(super) fn on(self, l: &Lowering, side: &str, extent: usize) -> Result<Window, Diagnostic> {
        let reach = self.extent();
        let extent = extent as i64;
        let (before, after) = match self.padding {
            Padding::Explicit(before, after) => (before, after),
            Padding::SameUpper | Padding::SameLower => {
                let total = (reach + (extent - 1) / self.stride * self.stride - extent).max(0);
                let less = total / 2;
                if self.padding == Padding::SameUpper { (less, total - less) } else { (total - less, less) }
            }
        };
        let padded = extent + before + after;
        if reach > padded {
            let message =
                format!("a kernel that reaches over {reach} elements doesn't fit a padded {side} of {padded}");
            let own_height = side == "height" && l.layer.parameters.has(KERNEL_HEIGHT);
            let hint =
                "is the input as large as the model was made for? If so, it needs more padding or a smaller kernel";
            return Err(l.error_in(if own_height { KERNEL_HEIGHT } else { KERNEL_WIDTH }, message).hint(hint));
        }
        let outputs = (padded - reach) / self.stride + 1;
        let (kernel, dilation, stride) = (self.kernel as usize, self.dilation as usize, self.stride as usize);
        Ok(Window { kernel, dilation, stride, before, after, outputs })
    }
}

impl Window {
    /// The element at loop `kernel` of the window at loop `position`.
    pub(super) fn index(&self, position: usize, kernel: usize) -> Index {
        Index::constant(-self.before).plus(position, self.stride as i64).plus(kernel, self.dilation as i64)
    }

    /// Whether a window can reach beyond the axis.
    pub(super) fn is_padded(&self) -> bool {
        self.before > 0 || self.after > 0
    }
}

/// The padding of a convolution: left, right, top and bottom, each with the id that gives it.
pub(super) fn padding(parameters: &Parameters) -> [(u32, i32); 4] {
    PADDING.map(|(id, followed)| {
        let ids = [id, followed, PADDING[0].0];
        let given = ids.into_iter().find(|id| parameters.has(*id)).unwrap_or(id);
        (given, ids.into_iter().rev().fold(0, |value, id| parameters.int(id, value)))
    })
}

/// Judges the padding of a convolution. What is negative pads nothing in ncnn, unless another side is padded: then ncnn
/// writes outside its memory.
pub(super) fn pads_sensibly(layer: &Layer) -> Result<(), Diagnostic> {
    let sides = padding(&layer.parameters);
    let Some((id, negative)) = sides.into_iter().find(|(_, value)| *value < 0) else { return Ok(()) };
    if sides.iter().any(|(_, value)| *value > 0) {
        let hint = "write 0 for the sides that aren't padded; -233 and -234 stand for all four sides together";
        return Err(layer.error_in(id, format!("a padding of {negative} beside sides that are padded")).hint(hint));
    }
    if sides.iter().all(|(_, value)| *value == negative) && [SAME_UPPER, SAME_LOWER].contains(&negative) {
        return Ok(());
    }
    let hint = "write 0; or -233 or -234 on all four sides for one window at every stride";
    Err(warning(layer, id, format!("as in ncnn, a padding of {negative} pads nothing")).hint(hint))
}

/// The shapes of windows along height and width by the parameter ids convolutions have.
///
/// `kernel`, height first, is for layers whose kernel comes with a weight blob.
pub(super) fn of_convolution(parameters: &Parameters, kernel: Option<(i64, i64)>) -> [Shape; 2] {
    let pair = |width: u32, height: u32, default: i32| {
        let width = parameters.int(width, default);
        (i64::from(parameters.int(height, width)), i64::from(width))
    };
    let (kernel_h, kernel_w) = kernel.unwrap_or_else(|| pair(KERNEL_WIDTH, KERNEL_HEIGHT, 0));
    let (dilation_h, dilation_w) = pair(2, 12, 1);
    let (stride_h, stride_w) = pair(3, 13, 1);
    let sides = padding(parameters).map(|(_, value)| value);
    let [left, right, top, bottom] = sides.map(|value| i64::from(value.max(0)));
    let padding = |before, after| match sides {
        [SAME_UPPER, SAME_UPPER, SAME_UPPER, SAME_UPPER] => Padding::SameUpper,
        [SAME_LOWER, SAME_LOWER, SAME_LOWER, SAME_LOWER] => Padding::SameLower,
        _ => Padding::Explicit(before, after),
    };
    [
        Shape { kernel: kernel_h, dilation: dilation_h, stride: stride_h, padding: padding(top, bottom) },
        Shape { kernel: kernel_w, dilation: dilation_w, stride: stride_w, padding: padding(left, right) },
    ]
}

/// A value as channels, height and width; those it lacks are 1, as in ncnn.
///
/// # Errors
/// When it has a fourth axis.
pub(super) fn image(l: &Lowering, view: &View) -> Result<View, Diagnostic> {
    match view.shape[..] {
        [_, _, _] => Ok(view.clone()),
        [height, width] => Ok(view.reshaped(&[1, height, width])),
        [width] => Ok(view.reshaped(&[1, 1, width])),
        _ => {
            let kind = &l.layer.kind;
            let message = format!("{kind} takes images of at most 3 dimensions, not {}", view.shape.len());
            Err(l.error(message).hint("a Reshape layer before it can join two axes to one"))
        }
    }
}
