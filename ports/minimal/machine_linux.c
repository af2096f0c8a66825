/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * machine_linux.c - a bare machine made of three Linux system calls, on x86-64 or aarch64; no C
 * library. Also the four memory functions that every C compiler asks of its environment.
 *
 * Does not contain: anything of the port (port.c). A kernel replaces this file.
 */
#include "machine.h"

#if defined(__x86_64__)
enum { CALL_WRITE = 1, CALL_EXIT = 60, CALL_CLOCK = 228 };

static long machine_call(long number, long a, long b, long c)
{
    long result;

    __asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory");
    return result;
}

__asm__(".globl _start\n_start:\n    xor %ebp, %ebp\n    and $-16, %rsp\n    call machine_main\n");
#elif defined(__aarch64__)
enum { CALL_WRITE = 64, CALL_EXIT = 93, CALL_CLOCK = 113 };

static long machine_call(long number, long a, long b, long c)
{
    register long x8 __asm__("x8") = number;
    register long x0 __asm__("x0") = a;
    register long x1 __asm__("x1") = b;
    register long x2 __asm__("x2") = c;

    __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2) : "memory");
    return x0;
}

__asm__(".globl _start\n_start:\n    bl machine_main\n");
#else
#error "machine_linux.c: give this machine its system call, or bring a real one"
#endif

int minimal_main(void);
void machine_main(void);

volatile uint8_t *const machine_spaces[7];
uint8_t machine_memory[MACHINE_MEMORY_BYTES] __attribute__((aligned(4096)));

uint64_t machine_clock_ns(void)
{
    struct {
        int64_t s, ns;
    } now;

    (void)machine_call(CALL_CLOCK, 1, (long)&now, 0);
    return (uint64_t)now.s * 1000000000u + (uint64_t)now.ns;
}

void machine_print(const char *text)
{
    size_t n = 0;

    while (text[n])
        n++;
    (void)machine_call(CALL_WRITE, 1, (long)text, (long)n);
    (void)machine_call(CALL_WRITE, 1, (long)"\n", 1);
}

_Noreturn void machine_halt(int code)
{
    for (;;)
        (void)machine_call(CALL_EXIT, code, 0, 0);
}

_Noreturn void machine_panic(const char *text)
{
    machine_print(text);
    machine_halt(70);
}

void machine_main(void) { machine_halt(minimal_main()); }

/* ---------------------------------------------------------------- what compilers ask for */

void *memcpy(void *restrict dst, const void *restrict src, size_t n)
{
    uint8_t *d = dst;
    const uint8_t *s = src;

    while (n--)
        *d++ = *s++;
    return dst;
}

void *memmove(void *dst, const void *src, size_t n)
{
    uint8_t *d = dst;
    const uint8_t *s = src;

    if (d <= s)
        return memcpy(dst, src, n);
    while (n--)
        d[n] = s[n];
    return dst;
}

void *memset(void *dst, int c, size_t n)
{
    uint8_t *d = dst;

    while (n--)
        *d++ = (uint8_t)c;
    return dst;
}

int memcmp(const void *a, const void *b, size_t n)
{
    const uint8_t *x = a, *y = b;

    for (; n; n--, x++, y++)
        if (*x != *y)
            return *x - *y;
    return 0;
}
