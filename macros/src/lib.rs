//! The `include_model!` macro.
