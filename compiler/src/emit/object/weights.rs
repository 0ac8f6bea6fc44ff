//! Knowing external weights again: damaged ones, and those of another network, are refused.

use super::ALIGNMENT;
use super::driver::{Functions, signature};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::types::{I32, I64};
use cranelift_codegen::ir::{AbiParam, InstBuilder, MemFlagsData, Value};
use cranelift_frontend::FunctionBuilder;
use cranelift_module::{Linkage, Module};

/// `check_weights(weights, bytes)`: 1 when these are the weights, with this length and SipHash-1-3 of 128 bits under the
/// key of zeros (Aumasson and Bernstein, "SipHash: a fast short-input PRF", 2012), aligned as they must be; otherwise 0.
pub(super) fn check<M: Module>(functions: &mut Functions<M>, length: usize, hash: u128) {
    let mut own = signature(functions.platform.convention(), 2);
    own.returns = vec![AbiParam::new(I32)];
    functions.define("check_weights", Linkage::Export, own, |b, _, parameters| {
        let [weights, bytes] = parameters.try_into().expect("two parameters");
        let (whole, refuse) = (b.create_block(), b.create_block());
        let length_differs = b.ins().bxor_imm_s(bytes, length as i64);
        let odd = b.ins().band_imm_s(weights, ALIGNMENT as i64 - 1);
        let mut wrong = b.ins().bor(length_differs, odd);
        // No weights can be anywhere.
        if length > 0 {
            let absent = b.ins().icmp_imm_u(IntCC::Equal, weights, 0);
            let absent = b.ins().uextend(I64, absent);
            wrong = b.ins().bor(wrong, absent);
        }
        b.ins().brif(wrong, refuse, &[], whole, &[]);
        b.switch_to_block(whole);
        let [first, second] = content_hash(b, weights, length);
        let first = b.ins().icmp_imm_u(IntCC::Equal, first, hash as u64 as i64);
        let second = b.ins().icmp_imm_u(IntCC::Equal, second, (hash >> 64) as u64 as i64);
        let same = b.ins().band(first, second);
        let same = b.ins().uextend(I32, same);
        b.ins().return_(&[same]);
        b.switch_to_block(refuse);
        let no = b.ins().iconst(I32, 0);
        b.ins().return_(&[no]);
    });
}

/// The hash of words of 32 bits, low half first.
fn content_hash(b: &mut FunctionBuilder, weights: Value, length: usize) -> [Value; 2] {
    const START: [u64; 4] =
        [0x736f_6d65_7073_6575, 0x646f_7261_6e64_6f6d ^ 0xee, 0x6c79_6765_6e65_7261, 0x7465_6462_7974_6573];
    let start = START.map(|word| b.ins().iconst(I64, word.cast_signed()));
    let whole = (length / 8 * 8) as i64;
    let (test, work, rest) = (b.create_block(), b.create_block(), b.create_block());
    let [at, state @ ..] = [(); 5].map(|()| b.append_block_param(test, I64));
    let zero = b.ins().iconst(I64, 0);
    b.ins().jump(test, &[zero, start[0], start[1], start[2], start[3]].map(Into::into));
    b.switch_to_block(test);
    let is_more = b.ins().icmp_imm_u(IntCC::UnsignedLessThan, at, whole);
    b.ins().brif(is_more, work, &[], rest, &[]);
    b.switch_to_block(work);
    let place = b.ins().iadd(weights, at);
    let word = b.ins().load(I64, MemFlagsData::trusted(), place, 0);
    let next = absorb(b, state, word);
    let at = b.ins().iadd_imm_s(at, 8);
    b.ins().jump(test, &[at, next[0], next[1], next[2], next[3]].map(Into::into));
    b.switch_to_block(rest);
    let mut last = b.ins().iconst(I64, ((length as u64) << 56).cast_signed());
    if !length.is_multiple_of(8) {
        let place = b.ins().iadd_imm_s(weights, whole);
        let word = b.ins().uload32(MemFlagsData::trusted(), place, 0);
        last = b.ins().bor(last, word);
    }
    let mut state = absorb(b, state, last);
    [(2, 0xee), (1, 0xdd)].map(|(at, number): (usize, i64)| {
        state[at] = b.ins().bxor_imm_s(state[at], number);
        state = (0..3).fold(state, |state, _| round(b, state));
        let (first, second) = (b.ins().bxor(state[0], state[1]), b.ins().bxor(state[2], state[3]));
        b.ins().bxor(first, second)
    })
}

fn absorb(b: &mut FunctionBuilder, mut state: [Value; 4], word: Value) -> [Value; 4] {
    state[3] = b.ins().bxor(state[3], word);
    state = round(b, state);
    state[0] = b.ins().bxor(state[0], word);
    state
}

fn round(b: &mut FunctionBuilder, [mut v0, mut v1, mut v2, mut v3]: [Value; 4]) -> [Value; 4] {
    /// `to += from; from = rotated(from) ^ to`.
    fn half(b: &mut FunctionBuilder, to: &mut Value, from: &mut Value, distance: i64) {
        *to = b.ins().iadd(*to, *from);
        *from = b.ins().rotl_imm_u(*from, distance);
        *from = b.ins().bxor(*from, *to);
    }
    half(b, &mut v0, &mut v1, 13);
    v0 = b.ins().rotl_imm_u(v0, 32);
    half(b, &mut v2, &mut v3, 16);
    half(b, &mut v0, &mut v3, 21);
    half(b, &mut v2, &mut v1, 17);
    v2 = b.ins().rotl_imm_u(v2, 32);
    [v0, v1, v2, v3]
}
