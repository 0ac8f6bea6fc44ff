# int checked_call(kernel, buffers, begin, end): whether rbx, rbp, r12-r15 and rsp are kept.
.intel_syntax noprefix
.text
.globl checked_call
checked_call:
    push rbx
    push rbp
    push r12
    push r13
    push r14
    push r15
    mov [rip + stack], rsp
    mov rax, rdi
    mov rdi, rsi
    mov rsi, rdx
    mov rdx, rcx
    mov rbx, 0x1111
    mov rbp, 0x2222
    mov r12, 0x3333
    mov r13, 0x4444
    mov r14, 0x5555
    mov r15, 0x6666
    call rax
    xor eax, eax
    cmp rsp, [rip + stack]
    jne 3f
    cmp rbx, 0x1111
    jne 3f
    cmp rbp, 0x2222
    jne 3f
    cmp r12, 0x3333
    jne 3f
    cmp r13, 0x4444
    jne 3f
    cmp r14, 0x5555
    jne 3f
    cmp r15, 0x6666
    jne 3f
    mov eax, 1
3:
    mov rsp, [rip + stack]
    pop r15
    pop r14
    pop r13
    pop r12
    pop rbp
    pop rbx
    ret
.bss
stack: .quad 0
.section .note.GNU-stack,"",@progbits
