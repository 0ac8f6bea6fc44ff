//! Loops of the interpreters, compiled for the vectors of the machine that interprets.
//!
//! It changes how long they take and nothing else: a multiply-add is fused once by an instruction rather than by a function.

/// Runs a loop with the widest vectors this machine has, if the interpreters are built for that.
#[inline(always)]
pub(super) fn vectorised<R>(work: impl FnOnce() -> R) -> R {
    #[cfg(feature = "verify")]
    return pulp::Arch::new().dispatch(work);
    #[cfg(not(feature = "verify"))]
    work()
}
