/* The tile instructions in plain C, after the "Operation" sections of Intel's manual: csrc/isa_amx.c compiled with
   FASTNN_AMX_MODEL set to this file runs everywhere. A tile used without a configuration ends the program, as the processor would. */
#ifndef AMX_MODEL_H
#define AMX_MODEL_H
#include <immintrin.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Macros or functions, as the compiler likes. */
#undef _tile_loadconfig
#define _tile_loadconfig model_tile_loadconfig
#undef _tile_release
#define _tile_release model_tile_release
#undef _tile_zero
#define _tile_zero model_tile_zero
#undef _tile_loadd
#define _tile_loadd model_tile_loadd
#undef _tile_stored
#define _tile_stored model_tile_stored
#undef _tile_dpbf16ps
#define _tile_dpbf16ps model_tile_dpbf16ps

typedef struct {
    int configured, rows[8], row_bytes[8];
    unsigned char data[8][16][64];
} model_tiles;
static _Thread_local model_tiles model __attribute__((unused));

static inline void model_require(int right)
{
    if (!right)
        abort();
}
static inline void _tile_loadconfig(const void *memory)
{
    const unsigned char *c = memory;
    model_require(c[0] == 1 && c[1] == 0); /* palette, start row */
    memset(&model, 0, sizeof model);
    model.configured = 1;
    for (int t = 0; t < 8; t++) {
        model.row_bytes[t] = c[16 + 2 * t] | c[17 + 2 * t] << 8;
        model.rows[t] = c[48 + t];
        model_require(model.row_bytes[t] <= 64 && model.rows[t] <= 16);
    }
}
static inline void _tile_release(void) { memset(&model, 0, sizeof model); }
static inline void _tile_zero(int t)
{
    model_require(model.configured);
    memset(model.data[t], 0, sizeof model.data[t]);
}
static inline void _tile_loadd(int t, const void *base, ptrdiff_t stride)
{
    _tile_zero(t);
    for (int i = 0; i < model.rows[t]; i++)
        memcpy(model.data[t][i], (const char *)base + i * stride, (size_t)model.row_bytes[t]);
}
static inline void _tile_stored(int t, void *base, ptrdiff_t stride)
{
    model_require(model.configured);
    for (int i = 0; i < model.rows[t]; i++)
        memcpy((char *)base + i * stride, model.data[t][i], (size_t)model.row_bytes[t]);
}
static inline float model_flushed(float x) { return fpclassify(x) == FP_SUBNORMAL ? copysignf(0, x) : x; }
static inline float model_half(const unsigned char *row, int index)
{
    uint16_t half;
    memcpy(&half, row + 2 * index, 2);
    uint32_t bits = (uint32_t)half << 16;
    float x;
    memcpy(&x, &bits, 4);
    return model_flushed(x);
}
static inline void _tile_dpbf16ps(int dst, int a, int b)
{
    model_require(model.configured && model.row_bytes[a] / 4 == model.rows[b]);
    model_require(model.rows[dst] == model.rows[a] && model.row_bytes[dst] == model.row_bytes[b]);
    for (int m = 0; m < model.rows[dst]; m++)
        for (int n = 0; n < model.row_bytes[dst] / 4; n++) {
            float even = 0, odd = 0, sum;
            for (int k = 0; k < model.row_bytes[a] / 4; k++) {
                even = model_flushed(
                    fmaf(model_half(model.data[a][m], 2 * k), model_half(model.data[b][k], 2 * n), even));
                odd = model_flushed(fmaf(model_half(model.data[a][m], 2 * k + 1),
                                         model_half(model.data[b][k], 2 * n + 1), odd));
            }
            memcpy(&sum, model.data[dst][m] + 4 * n, 4);
            sum = model_flushed(model_flushed(sum) + model_flushed(even + odd));
            memcpy(model.data[dst][m] + 4 * n, &sum, 4);
        }
}

/* what amx_check.c asks the system */
static inline int amx_granted(void) { return 1; }
#endif
