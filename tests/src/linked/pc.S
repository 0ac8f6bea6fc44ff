/* The memory a bare PC starts from: brings the processor from its reset vector to 64-bit code with every vector register
   on, loads the program from the disk, and serves the two calls of Linux's that it makes. What is written leaves by the
   serial port, the exit code as its last byte.

   START: where the program lies, and SECTORS: how many of 512 bytes; ENTRY: where it begins; WAY: its argument's first
   letter. */

    .set ROM, 0xffff0000            /* Where this is, up to the end of 32-bit addresses. */
    .set ROOT, 0x1000               /* Tables of pages, and memory below that nobody else uses. */
    .set STACK, 0x9fc00

    .code16
reset:
    cli
    lgdtl %cs:(descriptors - reset)
    mov $1, %eax
    mov %eax, %cr0
    ljmpl $8, $(ROM + protected - reset)

    .code32
protected:
    mov $16, %eax
    mov %eax, %ds
    mov %eax, %es
    mov %eax, %ss
    /* Pages of 2 MiB, each at its own address: the first 1 GiB, and this memory. */
    cld
    xor %eax, %eax
    mov $ROOT, %edi
    mov $0x1000, %ecx
    rep stosl
    movl $(ROOT + 0x1003), ROOT
    movl $(ROOT + 0x2003), ROOT + 0x1000
    movl $(ROOT + 0x3003), ROOT + 0x1018
    movl $0xffe00083, ROOT + 0x3ff8
    mov $(ROOT + 0x2000), %edi
    mov $0x83, %eax
1:  mov %eax, (%edi)
    add $8, %edi
    add $0x200000, %eax
    cmp $(ROOT + 0x3000), %edi
    jne 1b
    mov $ROOT, %eax
    mov %eax, %cr3
    /* Large addresses; vector registers, their exceptions, and the choice among them. */
    mov $(1 << 5 | 1 << 9 | 1 << 10 | 1 << 18), %eax
    mov %eax, %cr4
    /* 64-bit code, and calls. */
    mov $0xc0000080, %ecx
    rdmsr
    or $(1 << 8 | 1), %eax
    wrmsr
    mov $(1 << 31 | 1 << 1 | 1), %eax
    mov %eax, %cr0
    ljmpl $24, $(ROM + long - reset)

    .code64
long:
    /* Every vector register that there is. */
    mov $13, %eax
    xor %ecx, %ecx
    cpuid
    and $0xe7, %eax
    xor %ecx, %ecx
    xor %edx, %edx
    xsetbv
    /* Calls lead to `served`, with the same segments as here. */
    mov $0xc0000081, %ecx
    xor %eax, %eax
    mov $24, %edx
    wrmsr
    inc %ecx
    mov $(ROM + served - reset), %eax
    xor %edx, %edx
    wrmsr
    /* Bytes of eight bits on the serial port, as fast as it can. */
    mov $0x3fb, %edx
    mov $0x83, %al
    out %al, %dx
    mov $0x3f8, %edx
    mov $1, %eax
    out %ax, %dx
    mov $0x3fb, %edx
    mov $3, %al
    out %al, %dx

    /* The disk's sectors, one by one. */
    mov $START, %edi
    xor %ebx, %ebx
load:
    mov $0x1f7, %edx
1:  in %dx, %al
    test $0x80, %al
    jnz 1b
    mov $0x1f2, %edx
    mov $1, %al
    out %al, %dx
    mov %ebx, %eax
    mov $3, %ecx
1:  inc %edx
    out %al, %dx
    shr $8, %eax
    loop 1b
    inc %edx
    mov $0xe0, %al
    out %al, %dx
    inc %edx
    mov $0x20, %al
    out %al, %dx
1:  in %dx, %al
    test $8, %al
    jz 1b
    mov $0x1f0, %edx
    mov $256, %ecx
    rep insw
    inc %ebx
    cmp $SECTORS, %ebx
    jne load

    /* A stack as Linux makes it: the number of arguments, the program's name, and the way to run. */
    mov $STACK, %esp
    push $WAY
    mov %rsp, %rax
    push $0
    push $0
    push %rax
    push %rax
    push $2
    mov $ENTRY, %eax
    jmp *%rax

/* As Linux is called: rcx has the way back; all but it, rax and r11 is kept, and what lies below the stack. */
served:
    cmp $1, %eax
    jne stop
    lea -128(%rsp), %rsp
    push %rcx
    push %rdx
    push %rsi
    mov %rdx, %r11
1:  lodsb
    call send
    dec %r11
    jnz 1b
    pop %rsi
    pop %rdx
    pop %rcx
    lea 128(%rsp), %rsp
    mov %rdx, %rax
    jmp *%rcx

stop:
    mov %edi, %eax
    call send
    mov $0x3fd, %edx
1:  in %dx, %al
    test $0x40, %al
    jz 1b
    /* Off. The last byte is on its way to the file. */
    mov $1000000, %ecx
1:  loop 1b
    lea off(%rip), %rsi
    mov $0x8900, %edx
    mov $8, %ecx
    rep outsb
1:  hlt
    jmp 1b

send:
    mov %al, %cl
    mov $0x3fd, %edx
1:  in %dx, %al
    test $0x20, %al
    jz 1b
    mov $0x3f8, %edx
    mov %cl, %al
    out %al, %dx
    ret

off:
    .ascii "Shutdown"
    .balign 8
table:
    .quad 0, 0x00cf9a000000ffff, 0x00cf92000000ffff, 0x00af9a000000ffff, 0x00cf92000000ffff
descriptors:
    .word . - table - 1
    .long ROM + table - reset

    .org 0xfff0
    .code16
    jmp reset
    .org 0x10000
