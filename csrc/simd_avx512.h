/* AVX-512 (F, BW, DQ, VL): the primitives of vec.h, 16 float or 8 double lanes. */
#ifndef FASTNN_SIMD_AVX512_H
#define FASTNN_SIMD_AVX512_H
#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

#define SIMD_PANEL_VECTORS 4 /* 6 rows x 4 vectors: 24 accumulators of 32 registers */
#define SIMD_TILE_ROWS {0, 14, 14, 8, 6} /* largest tile, by its vectors */
#define SIMD_TILES TILES_14(1) TILES_14(2) TILES_8(3) TILES_6(4)
#define SIMD_DOT_ROWS 16 /* accumulators of dot_rows, in vectors */
#define SIMD_INPUT_ROWS 8 /* accumulators of input_forward, in pairs of vectors */
#define SIMD_INPUT_DEPTH 12 /* and of input_gradient */

#define f32_LANES 16
#define f64_LANES 8
typedef __m512 f32_vec;
typedef __m512d f64_vec;
typedef __m512i f32_ivec;
typedef __m512i f64_ivec;
typedef __mmask16 f32_mask;
typedef __mmask8 f64_mask;

#define X86_WIDTH 512
#define X86_PREFIX _mm512_
#include "simd_x86.h"

static inline f32_vec f32_load_n(const float *p, size_t n)
{
    return _mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1), p);
}
static inline f64_vec f64_load_n(const double *p, size_t n)
{
    return _mm512_maskz_loadu_pd((__mmask8)((1u << n) - 1), p);
}
static inline void f32_store_n(float *p, f32_vec a, size_t n)
{
    _mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1), a);
}
static inline void f64_store_n(double *p, f64_vec a, size_t n)
{
    _mm512_mask_storeu_pd(p, (__mmask8)((1u << n) - 1), a);
}

static inline void word_store(uint32_t *p, f64_ivec a)
{
    _mm256_storeu_si256((__m256i *)p, _mm512_cvtepi64_epi32(a));
}

static inline f32_mask f32_lt(f32_vec a, f32_vec b) { return _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ); }
static inline f64_mask f64_lt(f64_vec a, f64_vec b) { return _mm512_cmp_pd_mask(a, b, _CMP_LT_OQ); }
static inline f32_mask f32_eq(f32_vec a, f32_vec b) { return _mm512_cmp_ps_mask(a, b, _CMP_EQ_OQ); }
static inline f64_mask f64_eq(f64_vec a, f64_vec b) { return _mm512_cmp_pd_mask(a, b, _CMP_EQ_OQ); }
static inline f32_vec f32_select(f32_mask m, f32_vec yes, f32_vec no)
{
    return _mm512_mask_blend_ps(m, no, yes);
}
static inline f64_vec f64_select(f64_mask m, f64_vec yes, f64_vec no)
{
    return _mm512_mask_blend_pd(m, no, yes);
}

static inline f32_vec f32_from_bits(f32_ivec a) { return _mm512_castsi512_ps(a); }
static inline f64_vec f64_from_bits(f64_ivec a) { return _mm512_castsi512_pd(a); }
static inline f32_ivec f32_iset1(int32_t a) { return _mm512_set1_epi32(a); }
static inline f64_ivec f64_iset1(int64_t a) { return _mm512_set1_epi64(a); }

/* 16 virtual lanes, added as (l, l+8), (l, l+4), (l, l+2), (l, l+1). */
static inline float f32_sum16(const f32_vec *p)
{
    __m256 a = _mm256_add_ps(_mm512_castps512_ps256(p[0]), _mm512_extractf32x8_ps(p[0], 1));
    __m128 b = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    b = _mm_add_ps(b, _mm_movehl_ps(b, b));
    return _mm_cvtss_f32(_mm_add_ss(b, _mm_movehdup_ps(b)));
}
static inline double f64_sum16(const f64_vec *p)
{
    f64_vec s = _mm512_add_pd(p[0], p[1]);
    __m256d a = _mm256_add_pd(_mm512_castpd512_pd256(s), _mm512_extractf64x4_pd(s, 1));
    __m128d b = _mm_add_pd(_mm256_castpd256_pd128(a), _mm256_extractf128_pd(a, 1));
    return _mm_cvtsd_f64(_mm_add_sd(b, _mm_unpackhi_pd(b, b)));
}

/* sum16 of 16 vectors at once: every level halves the number of vectors, in the same tree. */
#define f32_HAVE_SUM16_ROWS 1
static inline f32_vec f32_sum16_rows(const f32_vec *p)
{
    f32_vec s[16];
#pragma GCC unroll 8
    for (int i = 0; i < 8; i++)
        s[i] = _mm512_add_ps(_mm512_shuffle_f32x4(p[2 * i], p[2 * i + 1], 0x44),
                             _mm512_shuffle_f32x4(p[2 * i], p[2 * i + 1], 0xEE));
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++)
        s[i] = _mm512_add_ps(_mm512_shuffle_f32x4(s[2 * i], s[2 * i + 1], 0x88),
                             _mm512_shuffle_f32x4(s[2 * i], s[2 * i + 1], 0xDD));
#pragma GCC unroll 2
    for (int i = 0; i < 2; i++)
        s[i] = _mm512_add_ps(_mm512_shuffle_ps(s[2 * i], s[2 * i + 1], 0x44),
                             _mm512_shuffle_ps(s[2 * i], s[2 * i + 1], 0xEE));
    s[0] = _mm512_add_ps(_mm512_shuffle_ps(s[0], s[1], 0x88), _mm512_shuffle_ps(s[0], s[1], 0xDD));
    /* block b, position q holds row 4q + b */
    return _mm512_permutexvar_ps(_mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15),
                                 s[0]);
}

/* r[i][j] -> r[j][i], LANES x LANES. */
static inline void f32_transpose(f32_vec *r)
{
    f32_vec t[16];
#pragma GCC unroll 8
    for (int i = 0; i < 8; i++) {
        t[2 * i] = _mm512_unpacklo_ps(r[2 * i], r[2 * i + 1]);
        t[2 * i + 1] = _mm512_unpackhi_ps(r[2 * i], r[2 * i + 1]);
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        r[4 * i] = _mm512_shuffle_ps(t[4 * i], t[4 * i + 2], 0x44);
        r[4 * i + 1] = _mm512_shuffle_ps(t[4 * i], t[4 * i + 2], 0xEE);
        r[4 * i + 2] = _mm512_shuffle_ps(t[4 * i + 1], t[4 * i + 3], 0x44);
        r[4 * i + 3] = _mm512_shuffle_ps(t[4 * i + 1], t[4 * i + 3], 0xEE);
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        t[i] = _mm512_shuffle_f32x4(r[i], r[i + 4], 0x88);
        t[i + 4] = _mm512_shuffle_f32x4(r[i], r[i + 4], 0xDD);
        t[i + 8] = _mm512_shuffle_f32x4(r[i + 8], r[i + 12], 0x88);
        t[i + 12] = _mm512_shuffle_f32x4(r[i + 8], r[i + 12], 0xDD);
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        r[i] = _mm512_shuffle_f32x4(t[i], t[i + 8], 0x88);
        r[i + 8] = _mm512_shuffle_f32x4(t[i], t[i + 8], 0xDD);
        r[i + 4] = _mm512_shuffle_f32x4(t[i + 4], t[i + 12], 0x88);
        r[i + 12] = _mm512_shuffle_f32x4(t[i + 4], t[i + 12], 0xDD);
    }
}
static inline void f64_transpose(f64_vec *r)
{
    f64_vec t[8];
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        t[2 * i] = _mm512_unpacklo_pd(r[2 * i], r[2 * i + 1]);
        t[2 * i + 1] = _mm512_unpackhi_pd(r[2 * i], r[2 * i + 1]);
    }
#pragma GCC unroll 2
    for (int i = 0; i < 2; i++) {
        r[i] = _mm512_shuffle_f64x2(t[i], t[i + 2], 0x88);
        r[i + 2] = _mm512_shuffle_f64x2(t[i], t[i + 2], 0xDD);
        r[i + 4] = _mm512_shuffle_f64x2(t[i + 4], t[i + 6], 0x88);
        r[i + 6] = _mm512_shuffle_f64x2(t[i + 4], t[i + 6], 0xDD);
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        t[i] = _mm512_shuffle_f64x2(r[i], r[i + 4], 0x88);
        t[i + 4] = _mm512_shuffle_f64x2(r[i], r[i + 4], 0xDD);
    }
#pragma GCC unroll 8
    for (int i = 0; i < 8; i++)
        r[i] = t[i];
}
#endif
