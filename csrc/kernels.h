/* The tables that are compiled in, one line an instruction set: included by cpu.c, and by isa_*.c through both_types.h. */
#ifndef FASTNN_KERNELS_H
#define FASTNN_KERNELS_H
#include "fastnn.h"

#if defined(__FAST_MATH__)
#error "fastnn promises the same bits everywhere: build without -ffast-math or -Ofast"
#endif

extern const fnn_kernels fnn_generic_f32, fnn_generic_f64;
extern const fnn_kernels fnn_avx2_f32, fnn_avx2_f64;
extern const fnn_kernels fnn_avx512_f32, fnn_avx512_f64;
extern const fnn_kernels fnn_neon_f32, fnn_neon_f64;
#endif
