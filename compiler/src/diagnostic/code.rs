//! Every kind of problem under a stable code, with what there is to say about it.
//!
//! A code names a family: what went wrong and where a remedy lies, not the wording of one message. Codes are never given
//! to another family.

/// The family of a problem.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Code {
    /// What was asked for doesn't fit the model.
    Request,
    /// A file can't be read or written.
    File,
    /// The machine to compile for isn't known, or lacks what was asked for.
    Machine,
    /// A file of input values doesn't fit.
    Values,
    /// The param file isn't written as param files are.
    Form,
    /// A parameter has no value that can be read.
    Parameter,
    /// Blobs and layers don't fit together.
    Blob,
    /// The weights don't fit the param file.
    Weights,
    /// The compiler doesn't know the layer type.
    UnknownLayer,
    /// The compiler knows the layer type, but not this use of it.
    Unsupported,
    /// A layer contradicts itself or what it reads.
    Layer,
    /// The shape of an input isn't known.
    Shape,
    /// The model is absurdly large.
    Size,
    /// The precision isn't what was asked for, or what was recorded.
    Precision,
    /// The compiler has a defect.
    Defect,
}

/// What there is to say about a family.
pub struct Explanation {
    /// Which.
    pub code: Code,
    /// The code as users see it.
    pub text: &'static str,
    /// The family in a few words.
    pub title: &'static str,
    /// What it means and what to do.
    pub paragraph: &'static str,
}

const fn line(code: Code, text: &'static str, title: &'static str, paragraph: &'static str) -> Explanation {
    Explanation { code, text, title, paragraph }
}

/// Every family, in the order of [`Code`].
#[rustfmt::skip]
pub const CODES: &[Explanation] = &[
    line(Code::Request, "N001", "what was asked for doesn't fit the model",
        "An input, an output or a layer was named that the model doesn't have, or a name was given that can't be one. \
         `ncnnc inspect` lists the names that a model has. Names of blobs, not of layers, stand for inputs and outputs."),
    line(Code::File, "N002", "a file can't be read or written",
        "The operating system refused, or writing would have destroyed a file that was read. Files are written under \
         another name first and renamed when they are complete, so the folder must be writable, and a failure leaves \
         nothing half-written behind."),
    line(Code::Machine, "N003", "the machine to compile for is unknown or lacks what was asked for",
        "`ncnnc targets` lists the triples that are verified and the instruction sets of each architecture. Code for one \
         instruction set needs all of its features. 32-bit and big-endian machines are not supported."),
    line(Code::Values, "N004", "a file of values doesn't fit",
        "Inputs are `.npy` files of little-endian 32-bit floats or 32-bit integers in C order, with the shape that the \
         model's input has, outermost extent first: `[channels, height, width]` for an image, without a batch. With NumPy: \
         `numpy.save(\"in0.npy\", numpy.ascontiguousarray(image, dtype=numpy.float32))`. `ncnnc verify` takes several samples \
         behind one another, and wants references to be numbers: not NaN, not infinite."),
    line(Code::Form, "N101", "the param file isn't written as param files are",
        "A param file begins with 7767517 and the numbers of layers and blobs; then each line is `type name inputs outputs`, \
         the names of that many blobs, and parameters as `id=value`. A file that a browser or an editor has changed, or \
         one that was cut short, no longer reads so. What ncnn would silently understand otherwise than it is written is \
         refused, or warned of."),
    line(Code::Parameter, "N102", "a parameter has no value that can be read",
        "Values are integers, floats (with a `.` or an exponent), arrays of them (`0=1,2`, or in the older form \
         `-23300=2,1,2`) or strings in double quotes. Numbers beyond 32 bits, NaN and infinities can't be written."),
    line(Code::Blob, "N103", "blobs and layers don't fit together",
        "Each blob is made by exactly one layer and read only by later ones: ncnn runs layers in file order. A blob that no \
         layer makes is often a misspelt name; one that is made twice, or too late, comes from lines that were moved or \
         copied by hand."),
    line(Code::Weights, "N201", "the weights don't fit the param file",
        "The `.bin` holds the arrays of all layers one after the other, without names, so that every array's place depends \
         on those before it. It is too short or too long when it belongs to another version of the param file, when a layer \
         was added or removed by hand, or when the file was cut short. The layer named is where it came to light; the \
         fault may lie before it."),
    line(Code::UnknownLayer, "N301", "the compiler doesn't know the layer type",
        "`ncnnc targets --layers` lists the layer types there are. In Rust a function of your own can compute such a layer \
         (`layer` in `include_model!`). Often a converter can be told to write a layer by simpler ones, and pnnx does so by \
         itself for most of what ncnn lacks."),
    line(Code::Unsupported, "N302", "the compiler doesn't support this use of the layer type",
        "The layer type is known, but not with these parameters: int8 and block-quantised weights are examples. Convert the \
         model without quantisation, with weights in 32-bit or 16-bit floats."),
    line(Code::Layer, "N303", "a layer contradicts itself or what it reads",
        "The parameters of the layer don't go together, the shapes of its inputs don't fit it, or it has another number \
         of inputs and outputs than its type. When it runs with ncnn, look at the shapes of the inputs first: a \
         model made for one size of image need not work for another. `ncnnc inspect` shows the shape of every blob."),
    line(Code::Shape, "N304", "the shape of an input isn't known",
        "Everything is computed ahead of time from the shapes of the inputs, and this param file leaves one open. Give it, \
         outermost extent first: `--input in0=3,224,224`; in `include_model!`, `input in0: [3, 224, 224];`. `ncnnc run` takes \
         it from the file of values."),
    line(Code::Size, "N305", "the model is absurdly large",
        "A tensor, or all of them together, would hold more than 2^31 elements, or a layer would take more steps than a \
         computer does in a day. Most often a parameter or the shape of an input is wrong."),
    line(Code::Precision, "N401", "the precision isn't what was asked for, or what was recorded",
        "An output is further from its reference than `--max-error` or `max_error` allows, or is no number where the reference \
         is one; or what `MODEL.precision.lock` recorded is no longer so: another model, other options, other bits, a \
         larger error. The report of `ncnnc verify` says which layer and which cause. When the change is wanted, `ncnnc accept` takes it \
         into the lock."),
    line(Code::Defect, "N901", "the compiler has a defect",
        "Whatever a model is, it is compiled or refused with a reason; the compiler should never stop in its midst. Please \
         report it, with the param file: the weights are seldom needed to find the cause."),
];

impl Code {
    /// What there is to say about it.
    pub fn explanation(self) -> &'static Explanation {
        &CODES[self as usize]
    }

    /// The code as users see it, such as `N101`.
    pub fn text(self) -> &'static str {
        self.explanation().text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_family_stands_in_its_place() {
        for (place, line) in CODES.iter().enumerate() {
            assert_eq!(line.code as usize, place, "{}", line.text);
            assert_eq!(line.code.text(), line.text);
        }
        assert!(CODES.windows(2).all(|pair| pair[0].text < pair[1].text), "codes rise, so none is given twice");
        assert_eq!(CODES.last().map(|line| line.code), Some(Code::Defect), "the last family is in the table");
    }
}
