/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * machine.h - what a bare machine offers a kernel: a clock, a console, a halt, an area of memory.
 *
 * machine_linux.c stands in for it with three system calls and no C library, so that the port can
 * be run in the check. On real hardware it would be a timer register, a UART and a halt
 * instruction.
 */
#ifndef MACHINE_H
#define MACHINE_H

#include <stddef.h>
#include <stdint.h>

/* Nanoseconds since some moment; never backward. */
uint64_t machine_clock_ns(void);
/* A line of text to the console. */
void machine_print(const char *text);
/* The end, with a result for whoever started the machine. */
_Noreturn void machine_halt(int code);
/* The same with a last line and a bad result. */
_Noreturn void machine_panic(const char *text);

/* Where BAR or PCI configuration space `space` of the adapter begins; there is none behind the simulated bus.
 */
extern volatile uint8_t *const machine_spaces[7];

/* All the memory there is for the drivers. */
#define MACHINE_MEMORY_BYTES (6u << 20)
extern uint8_t machine_memory[MACHINE_MEMORY_BYTES];

#endif /* MACHINE_H */
