//! Neural networks compiled into your crate.
#![no_std]
