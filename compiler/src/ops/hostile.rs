//! Parameters that mean no good: whatever a file says, lowering ends with a graph or with errors.

use super::{OPERATORS, lower};
use crate::ncnn;
use std::collections::HashMap;

/// Numbers that have broken other readers of models.
const NUMBERS: &[i32] =
    &[0, 1, 1, 2, 2, 3, 4, 5, 7, 8, -1, -2, -3, -4, -233, 233, 1000, i32::MAX, i32::MAX - 1, i32::MIN, 1 << 30];

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

    /// A parameter line such as `0=3 9=1,-1 6="0w"`.
    fn parameters(&mut self) -> String {
        let mut text = String::new();
        for id in 0..23 {
            if self.below(4) > 0 {
                continue;
            }
            text += &match self.below(12) {
                0 => format!(" {id}={}.5", self.below(9)),
                1 => format!(" {id}=\"{}\"", self.of(TEXTS)),
                2..=4 => {
                    let count = 1 + self.below(4);
                    let numbers: Vec<String> = (0..count).map(|_| self.of(NUMBERS).to_string()).collect();
                    format!(" -233{id:02}={count},{}", numbers.join(","))
                }
                _ => format!(" {id}={}", self.of(NUMBERS)),
            };
        }
        text
    }
}

#[test]
fn no_parameters_make_lowering_panic() {
    let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
    let mut lowered = 0;
    for operator in OPERATORS {
        for _ in 0..300 {
            let inputs = numbers.below(4);
            let outputs = numbers.below(4);
            let blobs = |letter: &str, count: usize| (0..count).map(|i| format!(" {letter}{i}")).collect::<String>();
            let mut text = format!("7767517\n{} {}\n", inputs + 1, inputs + outputs);
            for i in 0..inputs {
                text += &format!("Input i{i} 0 1 a{i} {}\n", numbers.of(INPUTS));
            }
            let (reads, writes) = (blobs("a", inputs), blobs("b", outputs));
            text += &format!("{} op {inputs} {outputs}{reads}{writes}{}\n", operator.kind, numbers.parameters());
            // What isn't a param file at all is the reader's matter.
            let Ok(model) = ncnn::read_param("hostile.param", text.as_bytes()) else { continue };
            lowered += usize::from(lower(&model, &HashMap::new(), &[]).is_ok());
        }
    }
    assert!(lowered > 0, "all of them were refused: the test asks for too much");
}
