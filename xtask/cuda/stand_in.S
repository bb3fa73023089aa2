/* Stands in for a library when a program is linked: each function of entries.inc jumps to the real one.
 *
 * A slot holds where to jump. It first leads back to the entry's own second half, which has the function
 * looked up; from the second call on there is one jump. Arguments are in registers and on the stack as the
 * caller left them, whatever they are (System V ABI, x86-64).
 *
 * SLOTS and LOOKUP are names of their own for each library. */

    .data
    .balign 8
    .globl SLOTS
    .hidden SLOTS
SLOTS:

    .macro entry name, index
    .text
    .globl \name
    .type \name, @function
\name:
    jmpq *(SLOTS + 8 * \index)(%rip)
.Lfirst_\index:
    pushq $\index
    jmp .Llook_up
    .size \name, . - \name
    .data
    .quad .Lfirst_\index
    .endm

#include "entries.inc"

    .text
.Llook_up:
    pushq %rbp
    movq %rsp, %rbp
    andq $-16, %rsp
    subq $192, %rsp
    movq %rdi, 0(%rsp)
    movq %rsi, 8(%rsp)
    movq %rdx, 16(%rsp)
    movq %rcx, 24(%rsp)
    movq %r8, 32(%rsp)
    movq %r9, 40(%rsp)
    movq %rax, 48(%rsp)
    movq %r10, 56(%rsp)
    movups %xmm0, 64(%rsp)
    movups %xmm1, 80(%rsp)
    movups %xmm2, 96(%rsp)
    movups %xmm3, 112(%rsp)
    movups %xmm4, 128(%rsp)
    movups %xmm5, 144(%rsp)
    movups %xmm6, 160(%rsp)
    movups %xmm7, 176(%rsp)
    movl 8(%rbp), %edi
    call LOOKUP
    movq %rax, %r11
    movq 0(%rsp), %rdi
    movq 8(%rsp), %rsi
    movq 16(%rsp), %rdx
    movq 24(%rsp), %rcx
    movq 32(%rsp), %r8
    movq 40(%rsp), %r9
    movq 48(%rsp), %rax
    movq 56(%rsp), %r10
    movups 64(%rsp), %xmm0
    movups 80(%rsp), %xmm1
    movups 96(%rsp), %xmm2
    movups 112(%rsp), %xmm3
    movups 128(%rsp), %xmm4
    movups 144(%rsp), %xmm5
    movups 160(%rsp), %xmm6
    movups 176(%rsp), %xmm7
    leave
    addq $8, %rsp
    jmpq *%r11

    .section .note.GNU-stack, "", @progbits
