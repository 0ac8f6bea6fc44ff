//! Windows that slide over an axis: kernel, dilation, stride and padding, for convolutions and pooling alike.

use super::Lowering;
use crate::diagnostic::Diagnostic;
use crate::graph::{Index, View};

/// How an axis is padded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Padding {
    /// So many elements before and after.
    Explicit(i64, i64),
    /// As many as make one window for every stride begun, the odd one after (ncnn's -233).
    SameUpper,
    /// The same with the odd one before (ncnn's -234).
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
    ///
    /// # Errors
    /// When kernel, dilation or stride isn't positive.
    pub(super) fn extent(self, l: &Lowering, side: &str) -> Result<i64, Diagnostic> {
        for (what, value) in [("kernel", self.kernel), ("dilation", self.dilation), ("stride", self.stride)] {
            if value < 1 {
                return Err(l.error(format!("the {what} {side} is {value}, but must be at least 1")));
            }
        }
        Ok(self.dilation * (self.kernel - 1) + 1)
    }

    /// The window on an axis of `extent` elements.
    ///
    /// # Errors
    /// When a number makes no sense or the kernel doesn't fit.
    pub(super) fn on(self, l: &Lowering, side: &str, extent: usize) -> Result<Window, Diagnostic> {
        let reach = self.extent(l, side)?;
        let extent = extent as i64;
        let (before, after) = match self.padding {
            Padding::Explicit(before, after) => (before, after),
            Padding::SameUpper | Padding::SameLower => {
                let total = (reach + (extent - 1) / self.stride * self.stride - extent).max(0);
                let less = total / 2;
                if self.padding == Padding::SameUpper { (less, total - less) } else { (total - less, less) }
            }
        };
        if before < 0 || after < 0 {
            return Err(l.error(format!("the padding of the {side} is negative: {before} and {after}")));
        }
        let padded = extent + before + after;
        if reach > padded {
            let message =
                format!("a kernel that reaches over {reach} elements doesn't fit a padded {side} of {padded}");
            return Err(l.error(message));
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

/// The shapes of windows along height and width by the parameter ids convolutions have.
///
/// `kernel`, height first, is for layers whose kernel comes with a weight blob.
pub(super) fn of_convolution(l: &Lowering, kernel: Option<(i64, i64)>) -> [Shape; 2] {
    let parameter = |id: u32, default: i64| i64::from(l.layer.parameters.int(id, default as i32));
    let pair = |width: u32, height: u32, default: i64| {
        let width = parameter(width, default);
        (parameter(height, width), width)
    };
    let (kernel_h, kernel_w) = kernel.unwrap_or_else(|| pair(1, 11, 0));
    let (dilation_h, dilation_w) = pair(2, 12, 1);
    let (stride_h, stride_w) = pair(3, 13, 1);
    let left = parameter(4, 0);
    let right = parameter(15, left);
    let top = parameter(14, left);
    let bottom = parameter(16, top);
    let padding = |before, after| match [left, right, top, bottom] {
        [-233, -233, -233, -233] => Padding::SameUpper,
        [-234, -234, -234, -234] => Padding::SameLower,
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
        _ => Err(l.error(format!("{} takes images of at most 3 dimensions, not {}", l.layer.kind, view.shape.len()))),
    }
}
