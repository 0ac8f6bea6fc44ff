// int checked_call(kernel, buffers, begin, end): whether x19-x28, d8-d15 and sp are kept.
.text
.globl checked_call
checked_call:
    stp x29, x30, [sp, #-176]!
    stp x19, x20, [sp, #16]
    stp x21, x22, [sp, #32]
    stp x23, x24, [sp, #48]
    stp x25, x26, [sp, #64]
    stp x27, x28, [sp, #80]
    stp d8, d9, [sp, #96]
    stp d10, d11, [sp, #112]
    stp d12, d13, [sp, #128]
    stp d14, d15, [sp, #144]
    mov x29, sp
    mov x9, x0
    mov x0, x1
    mov x1, x2
    mov x2, x3
.irp number, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28
    mov x\number, #1000 + \number
.endr
.irp number, 8, 9, 10, 11, 12, 13, 14, 15
    mov x10, #2000 + \number
    fmov d\number, x10
.endr
    blr x9
    mov x0, #1
    mov x10, sp
    cmp x10, x29
    csel x0, x0, xzr, eq
.irp number, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28
    cmp x\number, #1000 + \number
    csel x0, x0, xzr, eq
.endr
.irp number, 8, 9, 10, 11, 12, 13, 14, 15
    fmov x10, d\number
    cmp x10, #2000 + \number
    csel x0, x0, xzr, eq
.endr
    mov sp, x29
    ldp x19, x20, [sp, #16]
    ldp x21, x22, [sp, #32]
    ldp x23, x24, [sp, #48]
    ldp x25, x26, [sp, #64]
    ldp x27, x28, [sp, #80]
    ldp d8, d9, [sp, #96]
    ldp d10, d11, [sp, #112]
    ldp d12, d13, [sp, #128]
    ldp d14, d15, [sp, #144]
    ldp x29, x30, [sp], #176
    ret
.section .note.GNU-stack,"",%progbits
