//! Parameters that mean no good: whatever a file says, lowering ends with a graph or with errors.

use super::signature::has_errors;
use super::{Accepts, OPERATORS, Operator, arrays, lower, lowering};
use crate::ncnn::{self, Model};
use std::collections::HashMap;

/// Numbers that have broken other readers of models.
const NUMBERS: &[i32] =
    &[0, 1, 1, 2, 2, 3, 4, 5, 7, 8, -1, -2, -3, -4, -233, 233, 1000, i32::MAX, i32::MAX - 1, i32::MIN, 1 << 30];

/// Numbers that make sense more often than not, and their extremes.
const MILD: &[i32] = &[0, 1, 1, 1, 2, 2, 3, 4, 6, 8, -1, -2, -233, i32::MAX, i32::MIN];

/// Floats as they are written.
const FLOATS: &[&str] = &["0.0", "1.0", "0.5", "-0.1", "2.0", "1e-5", "3e38", "-3e38"];

/// Size expressions, right and wrong.
const TEXTS: &[&str] = &["0w", "0w,0h", "-1", "3w", "+(0w", "//(0h,0)", "*(0w,2),*(0h,2),0c", "neg(0w)", "1,1,1,1,1"];

/// Shapes of the inputs as an `Input` layer writes them.
const INPUTS: &[&str] = &["0=6", "0=8 1=6", "0=8 1=6 2=4", "0=4 1=2 11=3 2=4", "0=1 1=1 2=1", "0=1"];

/// A small generator of the same numbers each time (xorshift, Marsaglia 2003).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % end as u64) as usize
    }

    fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }

    /// One of these between two bounds, or a bound.
    fn between(&mut self, all: &[i32], least: i32, most: i32) -> i32 {
        let within: Vec<i32> = all.iter().copied().filter(|number| (least..=most).contains(number)).collect();
        if within.is_empty() { self.of(&[least, most]) } else { self.of(&[&within[..], &[least]].concat()) }
    }

    fn list(&mut self, mut element: impl FnMut(&mut Self) -> String) -> String {
        let count = 1 + self.below(4);
        let elements: Vec<String> = (0..count).map(|_| element(self)).collect();
        format!("{}{}", elements.join(","), if count == 1 { "," } else { "" })
    }

    /// Any value at all.
    fn value(&mut self) -> String {
        match self.below(12) {
            0 => format!("{}.5", self.below(9)),
            1 => format!("{:?}", self.of(TEXTS)),
            2..=4 => self.list(|numbers| numbers.of(NUMBERS).to_string()),
            _ => self.of(NUMBERS).to_string(),
        }
    }

    /// A value that a parameter accepts.
    fn accepted(&mut self, accepts: &Accepts) -> String {
        match accepts {
            Accepts::Integer => self.of(MILD).to_string(),
            Accepts::Flag => self.of(&[0, 1, 1, -1]).to_string(),
            Accepts::AtLeast(least) => self.between(MILD, *least, i32::MAX).to_string(),
            Accepts::Between(least, most) => self.between(MILD, *least, *most).to_string(),
            Accepts::OneOf(_) | Accepts::RowOf(_) => self.of(&accepts.choices()).0.to_string(),
            Accepts::Float => self.of(FLOATS).to_string(),
            Accepts::Integers => self.list(|numbers| numbers.of(MILD).to_string()),
            Accepts::Axes => self.list(|numbers| numbers.between(MILD, -4, 3).to_string()),
            Accepts::Floats => self.list(|numbers| numbers.of(FLOATS).to_string()),
            Accepts::Text => format!("{:?}", self.of(TEXTS)),
        }
    }

    /// A parameter line such as `0=3 9=1,-1 6="0w"`: three in four values are those that the operator accepts.
    fn parameters(&mut self, operator: &Operator) -> String {
        let mut text = String::new();
        for id in 0..23 {
            let parameter = operator.signature.parameters.iter().find(|parameter| parameter.id == id);
            let is_given = match parameter {
                Some(parameter) if parameter.is_required() => self.below(16) > 0,
                Some(_) => self.below(3) == 0,
                None => self.below(8) == 0,
            };
            if is_given {
                let value = match parameter {
                    Some(parameter) if self.below(4) > 0 => self.accepted(&parameter.accepts),
                    Some(_) | None => self.value(),
                };
                text += &format!(" {id}={value}");
            }
        }
        text
    }

    /// How many blobs a layer with these parameters shall read and make: seven in eight times what the operator wants.
    fn blobs(&mut self, operator: &Operator, parameters: &str) -> [usize; 2] {
        let alone = format!("7767517\n1 1\n{} op 0 1 b{parameters}\n", operator.kind);
        let wanted = ncnn::read_param("hostile.param", alone.as_bytes())
            .ok()
            .filter(|_| self.below(8) > 0)
            .map(|model| operator.signature.blobs(&model.layers[0].parameters));
        let any = |numbers: &mut Self, fewest: usize| fewest + numbers.below(4);
        match wanted {
            None => [any(self, 0), any(self, 0)],
            Some(blobs) => {
                let (fewest, most) = blobs.inputs();
                let inputs = any(self, fewest).min(most.unwrap_or(usize::MAX));
                [inputs, blobs.outputs().unwrap_or_else(|| any(self, 0))]
            }
        }
    }
}

/// Trials of one operator.
const TRIALS: usize = 300;

/// What became of one.
struct Trial {
    /// Nothing is wrong with the layer by itself, so that it was lowered, for better or worse.
    is_reached: bool,
    is_lowered: bool,
}

fn trial(mut model: Model, operator: &Operator) -> Trial {
    let is_reached = gets_past(&model, operator);
    // Arrays need not be there for it to be told how many there should be.
    let countable = ncnn::count_weights(&mut model, &|layer, reader| arrays(&[], layer, reader)).is_empty();
    let has_arrays = model.layers.iter().any(|layer| !layer.weights.is_empty());
    let is_lowered = if has_arrays {
        countable && !has_errors(&lowering::problems(&model, &HashMap::new(), &[]))
    } else {
        lower(&model, &HashMap::new(), &[]).is_ok()
    };
    Trial { is_reached, is_lowered }
}

/// Layers drawn for a trial until one gets past its signature: where parameters must go together, few do.
const DRAWS: usize = 128;

/// A layer behind its inputs, unless it isn't a param file at all, which is the reader's matter.
fn draw(numbers: &mut Numbers, operator: &Operator) -> Option<Model> {
    let parameters = numbers.parameters(operator);
    let [inputs, outputs] = numbers.blobs(operator, &parameters);
    let blobs = |letter: &str, count: usize| (0..count).map(|i| format!(" {letter}{i}")).collect::<String>();
    let mut text = format!("7767517\n{} {}\n", inputs + 1, inputs + outputs);
    for i in 0..inputs {
        text += &format!("Input i{i} 0 1 a{i} {}\n", numbers.of(INPUTS));
    }
    let (reads, writes) = (blobs("a", inputs), blobs("b", outputs));
    text += &format!("{} op {inputs} {outputs}{reads}{writes}{parameters}\n", operator.kind);
    ncnn::read_param("hostile.param", text.as_bytes()).ok()
}

fn gets_past(model: &Model, operator: &Operator) -> bool {
    !model.layers.last().is_some_and(|layer| has_errors(&operator.signature.problems(layer)))
}

#[test]
fn no_parameters_make_lowering_panic() {
    let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
    let mut lowered = 0;
    for operator in OPERATORS {
        let mut reached = 0;
        for _ in 0..TRIALS {
            let mut drawn = None;
            for _ in 0..DRAWS {
                drawn = draw(&mut numbers, operator).or(drawn);
                if drawn.as_ref().is_some_and(|model| gets_past(model, operator)) {
                    break;
                }
            }
            let Some(model) = drawn else { continue };
            let Trial { is_reached, is_lowered } = trial(model, operator);
            reached += usize::from(is_reached);
            lowered += usize::from(is_lowered);
        }
        let kind = operator.kind;
        println!("{kind}: {reached} of {TRIALS} reached");
        assert!(reached > TRIALS / 4, "{kind}: only {reached} of {TRIALS} got past the signature");
    }
    let all = TRIALS * OPERATORS.len();
    println!("{lowered} of {all} lowered");
    assert!(lowered > all / 4, "only {lowered} of {all} were lowered: the test asks for too much");
}
