/* Products in bfloat16: the boundary between Cython and C, as fastnn.h is for everything else.

   A pair is two bfloat16 numbers in the place of one float: the first in the low half. Depth runs in pairs: of inputs (forward), of units
   (deltas), of rows (gradients). A table has the geometry (lanes, panel_vectors) of the float32 table of its instruction set, so both
   read the same panels.

   Numbers. float to bfloat16 rounds to nearest, ties to even; subnormal numbers become zero, NaN stays NaN. A product of two bfloat16 is
   exact in float, and added by fma: sum = fma(low, low, fma(high, high, sum)), in the order of the pairs, subnormal values taken as
   and flushed to zero. That is what `vdpbf16ps` does, so "vdpbf16ps" and "emulated" have the same bits; AMX adds in another order. */
#ifndef FASTNN_BF16_H
#define FASTNN_BF16_H
#include "fastnn.h"

/* The same numbers are also read and written as floats and as halves. */
typedef uint32_t __attribute__((may_alias)) fnn_pair;
typedef uint16_t __attribute__((may_alias)) fnn_half;

typedef struct fnn_bf16_kernels {
    const char *name; /* "amx", "vdpbf16ps" or "emulated" */
    /* As fnn_tile, for any number of rows and up to a panel's vectors: c[i][j] = init[j] + sum over p < depth of a[i * a_row + p] . b[p][j],
       then `finish`. a: (rows, depth) pairs; lane l of vector v of b's row p is b[v * b_vector + p * b_step + l]; the rest is float. */
    void (*product)(size_t rows, size_t vectors, size_t depth, const fnn_pair *a, ptrdiff_t a_row,
                    const fnn_pair *b, ptrdiff_t b_step, ptrdiff_t b_vector, const float *init, float *c,
                    ptrdiff_t c_row, size_t last, int finish, const float *other, ptrdiff_t other_row);
    /* out (rows, n) in halves = x[index[r]] (index NULL: x[r]); what follows n in a row is left alone.
       The return value is 1 if anything was NaN or infinite. ldo: pairs. */
    int (*narrow)(size_t rows, size_t n, const int64_t *index, const float *x, size_t ldx, fnn_pair *out,
                  size_t ldo);
    /* As `product` reads b, whole rows of lanes: dst's [r / 2][j] = (src[r][j], src[r + 1][j]) for even r; the row after the last, and
       what n leaves of the last vector, are zero. src: halves, lds and d_vector in pairs. */
    void (*interleave)(size_t rows, size_t n, const fnn_pair *src, size_t lds, fnn_pair *dst,
                       size_t d_vector);
    /* dst[j][r / 2] = the same */
    void (*transpose)(size_t rows, size_t n, const fnn_pair *src, size_t lds, fnn_pair *dst, size_t ldd);
    /* What a thread needs before its first tile, and gives back after its last; NULL: nothing. */
    void (*enter)(void);
    void (*leave)(void);
    /* As fma_peak: 4 * lanes * peak_chains * iterations floating-point operations. */
    double (*peak)(size_t iterations);
    size_t peak_chains;
} fnn_bf16_kernels;

enum { FNN_BF16_KINDS = 4 }; /* at most so many for one instruction set */

/* Tables for an instruction set of fnn_instruction_sets, usable here, best first; list[i] == NULL ends the list. */
void fnn_bf16_kernels_for(const char *isa, const fnn_bf16_kernels *list[FNN_BF16_KINDS]);
#endif
