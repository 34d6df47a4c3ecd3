/* The AMX products on the model of the instructions, for ctypes: c (OUT: rows x 16 * vectors, leading dimension c_row) =
   finish(init + a @ b). */
#include "kernels.h"

void product(size_t rows, size_t vectors, size_t depth, const fnn_pair *a, ptrdiff_t a_row, const fnn_pair *b,
             ptrdiff_t b_step, ptrdiff_t b_vector, const float *init, float *c, ptrdiff_t c_row, size_t last,
             int finish, const float *other, ptrdiff_t other_row)
{
    fnn_amx_bf16.enter();
    fnn_amx_bf16.product(rows, vectors, depth, a, a_row, b, b_step, b_vector, init, c, c_row, last, finish,
                         other, other_row);
    fnn_amx_bf16.leave();
}

/* What decides whether AMX is used; `wrong`: with a product that is not right. */
static void wrong_product(size_t rows, size_t vectors, size_t depth, const fnn_pair *a, ptrdiff_t a_row,
                          const fnn_pair *b, ptrdiff_t b_step, ptrdiff_t b_vector, const float *init,
                          float *c, ptrdiff_t c_row, size_t last, int finish, const float *other,
                          ptrdiff_t other_row)
{
    fnn_amx_bf16.product(rows, vectors, depth, a, a_row, b, b_step, b_vector, init, c, c_row, last, finish,
                         other, other_row);
    c[5 * c_row + 3] += 0.25f;
}
int works(void) { return fnn_amx_works(&fnn_amx_bf16, &fnn_avx512_bf16); }
int works_wrong(void)
{
    fnn_bf16_kernels bad = fnn_amx_bf16;
    bad.product = wrong_product;
    return fnn_amx_works(&bad, &fnn_avx512_bf16);
}
