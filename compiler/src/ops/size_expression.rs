//! Sizes written as text: `0w,//(0h,2),*(0c,2)` is three sizes computed from those of the layer's first input.
//!
//! `3h` is the height of the fourth input; functions stand before their arguments, as in ncnn (`src/expression.cpp`). A
//! value is an integer until a function makes a float of it; a size that ends as a float loses its fraction.
//!
//! What is wrong with the text whatever the inputs are shows without them: their sizes are then unknown, and so is all that
//! is made of them.

use super::Lowering;
use super::shape::{Side, extent};
use super::signature::{MOST_AXES, counted};
use crate::diagnostic::Diagnostic;
use crate::function::Function;
use crate::ncnn::{Layer, Parameters};

/// Deep enough for anything that is meant, shallow enough for the stack.
const DEEPEST: usize = 64;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Value {
    Integer(i64),
    Float(f32),
    Unknown,
}

impl Value {
    fn float(self) -> f32 {
        match self {
            Self::Integer(value) => value as f32,
            Self::Float(value) => value,
            Self::Unknown => f32::NAN,
        }
    }
}

/// What a function does with its arguments.
#[derive(Clone, Copy)]
enum Meaning {
    /// Integer if the argument is, else float.
    Unary(fn(i64) -> Option<i64>, fn(f32) -> f32),
    /// Integer if both arguments are, else float.
    Binary(fn(i64, i64) -> Option<i64>, fn(f32, f32) -> f32),
    /// A float made an integer.
    Rounding(fn(f32) -> f32),
    /// Integers only.
    Bits(fn(i64, i64) -> Option<i64>),
    /// Always a float, by a formula.
    FloatUnary(fn(f32) -> f32),
    /// Always a float, by a formula.
    FloatBinary(fn(f32, f32) -> f32),
    /// Always a float, by an elementary function of one or two arguments.
    Elementary(Function),
}

/// Every function by name.
const FUNCTIONS: &[(&str, Meaning)] = &[
    ("+", Meaning::Binary(i64::checked_add, |a, b| a + b)),
    ("-", Meaning::Binary(i64::checked_sub, |a, b| a - b)),
    ("*", Meaning::Binary(i64::checked_mul, |a, b| a * b)),
    ("//", Meaning::Binary(i64::checked_div, |a, b| (a / b).floor())),
    ("max", Meaning::Binary(|a, b| Some(a.max(b)), f32::max)),
    ("min", Meaning::Binary(|a, b| Some(a.min(b)), f32::min)),
    ("abs", Meaning::Unary(i64::checked_abs, f32::abs)),
    ("neg", Meaning::Unary(i64::checked_neg, |a| -a)),
    ("sign", Meaning::Unary(|a| Some(a.signum()), |a| if a == 0.0 { 0.0 } else { a.signum() })),
    ("square", Meaning::Unary(|a| a.checked_mul(a), |a| a * a)),
    ("trunc", Meaning::Rounding(f32::trunc)),
    ("ceil", Meaning::Rounding(f32::ceil)),
    ("floor", Meaning::Rounding(f32::floor)),
    ("round", Meaning::Rounding(f32::round)),
    ("and", Meaning::Bits(|a, b| Some(a & b))),
    ("or", Meaning::Bits(|a, b| Some(a | b))),
    ("xor", Meaning::Bits(|a, b| Some(a ^ b))),
    ("lshift", Meaning::Bits(|a, b| u32::try_from(b).ok().filter(|by| *by < 31).and_then(|by| a.checked_mul(1 << by)))),
    ("rshift", Meaning::Bits(|a, b| u32::try_from(b).ok().filter(|by| *by < 31).map(|by| a >> by))),
    ("/", Meaning::FloatBinary(|a, b| a / b)),
    ("fmod", Meaning::Elementary(Function::Modulo)),
    ("remainder", Meaning::FloatBinary(|a, b| if a * b < 0.0 { a % b + b } else { a % b })),
    ("logaddexp", Meaning::Elementary(Function::LogarithmOfSum)),
    ("reciprocal", Meaning::FloatUnary(f32::recip)),
    ("rsqrt", Meaning::FloatUnary(|a| a.sqrt().recip())),
    ("sqrt", Meaning::FloatUnary(f32::sqrt)),
    ("pow", Meaning::Elementary(Function::Power)),
    ("atan2", Meaning::Elementary(Function::ArcTangentOfTwo)),
    ("acos", Meaning::Elementary(Function::ArcCosine)),
    ("acosh", Meaning::Elementary(Function::AreaCosine)),
    ("asin", Meaning::Elementary(Function::ArcSine)),
    ("asinh", Meaning::Elementary(Function::AreaSine)),
    ("atan", Meaning::Elementary(Function::ArcTangent)),
    ("atanh", Meaning::Elementary(Function::AreaTangent)),
    ("cos", Meaning::Elementary(Function::Cosine)),
    ("cosh", Meaning::Elementary(Function::HyperbolicCosine)),
    ("erf", Meaning::Elementary(Function::ErrorFunction)),
    ("exp", Meaning::Elementary(Function::Exponential)),
    ("log", Meaning::Elementary(Function::Logarithm)),
    ("log10", Meaning::Elementary(Function::LogarithmTen)),
    ("sin", Meaning::Elementary(Function::Sine)),
    ("sinh", Meaning::Elementary(Function::HyperbolicSine)),
    ("tan", Meaning::Elementary(Function::Tangent)),
    ("tanh", Meaning::Elementary(Function::HyperbolicTangent)),
];

impl Meaning {
    fn arity(self) -> usize {
        match self {
            Self::Unary(..) | Self::Rounding(_) | Self::FloatUnary(_) => 1,
            Self::Binary(..) | Self::Bits(_) | Self::FloatBinary(_) => 2,
            Self::Elementary(function) => function.arity(),
        }
    }

    /// `None` where integers overflow, are divided by zero, or should be there and are not.
    fn apply(self, arguments: &[Value]) -> Option<Value> {
        if arguments.contains(&Value::Unknown) {
            return Some(Value::Unknown);
        }
        match (self, arguments) {
            (Self::Unary(integer, float), [a]) => match a {
                Value::Integer(value) => integer(*value).map(Value::Integer),
                Value::Float(_) | Value::Unknown => Some(Value::Float(float(a.float()))),
            },
            (Self::Binary(integer, float), [a, b]) => match (a, b) {
                (Value::Integer(a), Value::Integer(b)) => integer(*a, *b).map(Value::Integer),
                (Value::Integer(_) | Value::Float(_) | Value::Unknown, _) => {
                    Some(Value::Float(float(a.float(), b.float())))
                }
            },
            (Self::Rounding(float), [a]) => match a {
                Value::Integer(_) => Some(*a),
                Value::Float(_) | Value::Unknown => integer_of(float(a.float())).map(Value::Integer),
            },
            (Self::Bits(integer), [Value::Integer(a), Value::Integer(b)]) => integer(*a, *b).map(Value::Integer),
            (Self::FloatUnary(float), [a]) => Some(Value::Float(float(a.float()))),
            (Self::FloatBinary(float), [a, b]) => Some(Value::Float(float(a.float(), b.float()))),
            (Self::Elementary(function), _) => {
                let arguments: Vec<f64> = arguments.iter().map(|value| f64::from(value.float())).collect();
                Some(Value::Float(function.real(&arguments) as f32))
            }
            (Self::Unary(..) | Self::Binary(..) | Self::Rounding(_) | Self::Bits(_), _)
            | (Self::FloatUnary(_) | Self::FloatBinary(_), _) => None,
        }
    }
}

/// A float that is an integer in range.
fn integer_of(value: f32) -> Option<i64> {
    (value.abs() < i32::MAX as f32).then_some(value.trunc() as i64)
}

/// Reads text from the front.
struct Reader<'a> {
    rest: &'a str,
    /// Of the inputs; none where they are unknown.
    shapes: &'a [Option<&'a [usize]>],
}

impl Reader<'_> {
    /// One or more values between commas, up to the end of the text or a closing bracket.
    fn list(&mut self, depth: usize) -> Result<Vec<Value>, String> {
        let mut values = vec![self.value(depth)?];
        while let Some(rest) = self.rest.strip_prefix(',') {
            self.rest = rest;
            values.push(self.value(depth)?);
        }
        Ok(values)
    }

    fn value(&mut self, depth: usize) -> Result<Value, String> {
        if depth > DEEPEST {
            return Err(format!("brackets more than {DEEPEST} deep"));
        }
        let end = self.rest.find(['(', ')', ',']).unwrap_or(self.rest.len());
        let word = self.rest[..end].trim();
        self.rest = &self.rest[end..];
        let Some(rest) = self.rest.strip_prefix('(') else {
            return self.atom(word);
        };
        let Some((_, meaning)) = FUNCTIONS.iter().find(|(name, _)| *name == word) else {
            return Err(format!("there is no function `{word}`"));
        };
        self.rest = rest;
        let arguments = self.list(depth + 1)?;
        self.rest = self.rest.strip_prefix(')').ok_or_else(|| format!("`{word}(` isn't closed"))?;
        if arguments.len() != meaning.arity() {
            return Err(format!("`{word}` takes {} arguments, not {}", meaning.arity(), arguments.len()));
        }
        meaning.apply(&arguments).ok_or_else(|| format!("`{word}` has no value for these arguments"))
    }

    /// A number or a size such as `0w`.
    fn atom(&self, word: &str) -> Result<Value, String> {
        if let [digit @ b'0'..=b'9', letter @ (b'w' | b'h' | b'd' | b'c' | b'n')] = word.as_bytes() {
            let at = usize::from(digit - b'0');
            let Some(shape) = self.shapes.get(at) else {
                let have = counted(self.shapes.len(), "input");
                return Err(format!("`{word}` is a size of input {at}, counted from 0, but the layer has {have}"));
            };
            let Some(shape) = shape else { return Ok(Value::Unknown) };
            let sides = [Side::Width, Side::Height, Side::Depth, Side::Channels];
            // `n` is the size of a batch, which is 1.
            let side = sides.into_iter().find(|side| side.letter() == char::from(*letter));
            return Ok(Value::Integer(side.map_or(1, |side| extent(shape, side) as i64)));
        }
        if let Ok(value) = word.parse::<i32>() {
            return Ok(Value::Integer(i64::from(value)));
        }
        match word.parse::<f32>() {
            Ok(value) if value.is_finite() => Ok(float_literal(word, value)),
            Ok(_) | Err(_) => Err(format!("`{word}` is neither a number nor a size such as `0w`")),
        }
    }
}

/// `2.0` counts as the integer 2, as in ncnn; `2e0` too, but not `2e1`.
fn float_literal(word: &str, value: f32) -> Value {
    let whole = word.split(['.', 'e', 'E']).next().and_then(|digits| digits.parse::<i32>().ok());
    match whole {
        Some(whole) if whole as f32 == value => Value::Integer(i64::from(whole)),
        Some(_) | None => Value::Float(value),
    }
}

/// How many inputs a size expression speaks of: up to the one with the highest number.
pub(super) fn inputs_read(text: &str) -> usize {
    let input = |word: &str| match word.trim().as_bytes() {
        [digit @ b'0'..=b'9', b'w' | b'h' | b'd' | b'c' | b'n'] => usize::from(digit - b'0') + 1,
        _ => 0,
    };
    text.split(['(', ')', ',']).map(input).max().unwrap_or(0)
}

/// The sizes that `text` lists, for inputs of these shapes; none for a size that can't be known without a shape that isn't.
fn evaluate(text: &str, shapes: &[Option<&[usize]>]) -> Result<Vec<Option<i32>>, String> {
    let mut reader = Reader { rest: text, shapes };
    let values = reader.list(0)?;
    if !reader.rest.is_empty() {
        return Err(format!("`{}` is left over", reader.rest));
    }
    if values.len() > MOST_AXES {
        return Err(format!("{} sizes are more than the {MOST_AXES} axes a blob can have", values.len()));
    }
    let size = |value| {
        let integer = match value {
            Value::Unknown => return Ok(None),
            Value::Integer(value) => Some(value),
            Value::Float(value) => integer_of(value),
        };
        let size = integer.and_then(|value| i32::try_from(value).ok());
        size.map(Some).ok_or_else(|| "a size is out of range".to_string())
    };
    values.into_iter().map(size).collect()
}

/// The text of a parameter that holds sizes; none when it is absent or empty.
fn text(parameters: &Parameters, id: u32) -> Option<&str> {
    parameters.string(id).filter(|text| !text.is_empty())
}

/// Whether a parameter holds sizes.
pub(super) fn is_given(parameters: &Parameters, id: u32) -> bool {
    text(parameters, id).is_some()
}

/// Whether the sizes that a parameter holds are, among others, those of inputs beside the first one.
pub(super) fn names_further_inputs(parameters: &Parameters, id: u32) -> bool {
    let words = text(parameters, id).into_iter().flat_map(|text| text.split(['(', ')', ',']));
    words.map(str::trim).any(|word| matches!(word.as_bytes(), [b'1'..=b'9', b'w' | b'h' | b'd' | b'c' | b'n']))
}

fn malformed(layer: &Layer, id: u32, problem: &str) -> Diagnostic {
    let text = text(&layer.parameters, id).unwrap_or_default();
    layer
        .error_in(id, format!("in the size expression `{text}`: {problem}"))
        .hint("write sizes such as `0w,//(0h,2)`: function first, 0w is the first input's width")
}

/// Refuses text that is malformed, whatever the inputs are.
pub(super) fn check(layer: &Layer, id: u32) -> Result<(), Diagnostic> {
    let Some(text) = text(&layer.parameters, id) else { return Ok(()) };
    let checked = evaluate(text, &vec![None; layer.inputs.len()]);
    checked.map(|_| ()).map_err(|problem| malformed(layer, id, &problem))
}

impl Lowering<'_> {
    /// The sizes that the string parameter `id` lists; none when it is absent or empty.
    ///
    /// # Errors
    /// At the parameter, when a size is out of range or a function has no value for the sizes of the inputs.
    pub(super) fn sizes(&self, id: u32) -> Result<Option<Vec<i32>>, Diagnostic> {
        let Some(text) = text(&self.layer.parameters, id) else { return Ok(None) };
        let shapes: Vec<_> = self.inputs.iter().map(|view| Some(view.shape.as_slice())).collect();
        let sizes = evaluate(text, &shapes).map_err(|problem| malformed(self.layer, id, &problem))?;
        Ok(sizes.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes(text: &str) -> Result<Vec<i32>, String> {
        let sizes = evaluate(text, &[Some(&[4, 6, 5]), Some(&[3, 8])])?;
        Ok(sizes.into_iter().flatten().collect())
    }

    #[test]
    fn the_inputs_that_are_read_are_counted() {
        assert_eq!(["8,16", "*(0w,2),0h", "0w, 2c ", ""].map(inputs_read), [0, 1, 3, 0]);
    }

    #[test]
    fn sizes_of_inputs_and_arithmetic() {
        assert_eq!(sizes("0w,//(0h,2),*(0c,2)"), Ok(vec![5, 3, 8]));
        assert_eq!(sizes("1w,1h,1c"), Ok(vec![8, 3, 1]));
        assert_eq!(sizes("-1"), Ok(vec![-1]));
        assert_eq!(sizes("-(0w,2)"), Ok(vec![3]));
        assert_eq!(sizes("//(neg(7),2)"), Ok(vec![-3]), "integers divide towards zero");
        assert_eq!(sizes("//(-7.5,2)"), Ok(vec![-4]), "floats divide down");
        assert_eq!(sizes("*(0w,1.5),round(/(0w,2)),sqrt(square(0h))"), Ok(vec![7, 3, 6]));
        assert_eq!(sizes("+(max(0w,0h),min(0w,0h)),lshift(1,3)"), Ok(vec![11, 8]));
    }

    #[test]
    fn what_is_wrong_without_knowing_the_inputs_is_said() {
        let unknown = |text| evaluate(text, &[None]);
        assert_eq!(unknown("*(0w,2),+(1,2),and(round(0h),1)"), Ok(vec![None, Some(3), None]));
        assert_eq!(unknown("//(7,sub"), Err("`sub` is neither a number nor a size such as `0w`".into()));
        assert!(unknown("1w").is_err() && unknown("+(0w,//(1,0))").is_err() && unknown("+(0w)").is_err());
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (text, part) in [
            ("", "neither a number"),
            ("2w", "has 2 inputs"),
            ("+(1", "isn't closed"),
            ("+(1)", "takes 2"),
            ("1)", "left over"),
            ("//(0w,0)", "no value"),
            ("*(2147483647,*(2147483647,2147483647))", "no value"),
            ("*(2147483647,2)", "out of range"),
            ("/(1,0)", "out of range"),
            ("frobnicate(1)", "no function"),
            ("1,1,1,1,1", "more than"),
            ("and(1.5,1)", "no value"),
        ] {
            let problem = sizes(text).unwrap_err();
            assert!(problem.contains(part), "{text}: {problem}");
        }
        let deep = format!("{}1{}", "abs(".repeat(100), ")".repeat(100));
        assert!(sizes(&deep).unwrap_err().contains("deep"));
    }
}
