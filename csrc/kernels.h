/* The tables that are compiled in, one line an instruction set: included by cpu.c, and by isa_*.c through both_types.h. */
#ifndef FASTNN_KERNELS_H
#define FASTNN_KERNELS_H
#include "bf16.h"
#include "fastnn.h"

#if defined(__FAST_MATH__)
#error "fastnn promises the same bits everywhere: build without -ffast-math or -Ofast"
#endif

extern const fnn_kernels fnn_generic_f32, fnn_generic_f64;
extern const fnn_kernels fnn_avx2_f32, fnn_avx2_f64;
extern const fnn_kernels fnn_avx512_f32, fnn_avx512_f64;
extern const fnn_kernels fnn_neon_f32, fnn_neon_f64;
extern const fnn_bf16_kernels fnn_generic_bf16, fnn_avx2_bf16, fnn_avx512_bf16, fnn_neon_bf16;
extern const fnn_bf16_kernels fnn_avx512bf16_bf16, fnn_amx_bf16;

/* Whether AMX can be used: the processor has it, the system grants it, and a product is right; asked once. (amx_check.c) */
int fnn_amx_works(const fnn_bf16_kernels *amx, const fnn_bf16_kernels *reference);
#endif
