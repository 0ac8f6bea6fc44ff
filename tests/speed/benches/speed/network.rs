//! What is measured, whatever its type: a generated network with one input and one output.

use ncnnc::generated::{Call, Step};

/// More arguments than any step has.
pub const MOST_ARGUMENTS: usize = 32;

/// A generated network.
pub trait Network {
    /// Runs it.
    fn run(&mut self, input: &[f32]) -> &[f32];

    /// Hands every step to `visit`, which carries it out at least once.
    fn visit(&mut self, input: &[f32], visit: &mut dyn FnMut(&'static Step, &Call<'_>));
}

/// Includes a generated network, as a module of the name of its files.
macro_rules! network {
    ($module:ident, $name:ident) => {
        #[allow(clippy::undocumented_unsafe_blocks, reason = "files of tokens have no comments")]
        mod $module {
            include!(concat!(env!("OUT_DIR"), "/", stringify!($module), ".rs"));

            impl crate::network::Network for $name {
                fn run(&mut self, input: &[f32]) -> &[f32] {
                    $name::run(self, input.try_into().expect("as many values as the input has"))
                }

                fn visit(
                    &mut self,
                    input: &[f32],
                    visit: &mut dyn FnMut(&'static ::ncnnc::generated::Step, &::ncnnc::generated::Call<'_>),
                ) {
                    // A run checks the length of the input, and leaves sensible values everywhere.
                    crate::network::Network::run(self, input);
                    // SAFETY: the input is as long as the steps want it.
                    unsafe { self.0.visit::<{ crate::network::MOST_ARGUMENTS }>(&[input.as_ptr().cast()], visit) }
                }
            }
        }
    };
}
pub(crate) use network;
