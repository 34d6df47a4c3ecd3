/* AVX2 with FMA: the primitives of vec.h, 8 float or 4 double lanes. */
#ifndef FASTNN_SIMD_AVX2_H
#define FASTNN_SIMD_AVX2_H
#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

#define SIMD_PANEL_VECTORS 2 /* 6 rows x 2 vectors: 12 accumulators of 16 registers */
#define SIMD_TILE_ROWS {0, 12, 6, 0, 0} /* largest tile, by its vectors */
#define SIMD_TILES TILES_12(1) TILES_6(2)
#define SIMD_DOT_ROWS 8
#define SIMD_INPUT_ROWS 4 /* accumulators of input_forward, in pairs of vectors */
#define SIMD_INPUT_DEPTH 5 /* and of input_gradient */

#define f32_LANES 8
#define f64_LANES 4
typedef __m256 f32_vec;
typedef __m256d f64_vec;
typedef __m256i f32_ivec;
typedef __m256i f64_ivec;
typedef __m256 f32_mask;
typedef __m256d f64_mask;

#define X86_WIDTH 256
#define X86_PREFIX _mm256_
#include "simd_x86.h"

/* the first n lanes: a window on this table, n from its middle */
static const int32_t simd_window[16] = {-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0};
static inline __m256i f32_first(size_t n)
{
    return _mm256_loadu_si256((const __m256i *)(simd_window + 8 - n));
}
static inline __m256i f64_first(size_t n)
{
    return _mm256_loadu_si256((const __m256i *)(simd_window + 8 - 2 * n));
}

static inline void word_store(uint32_t *p, f64_ivec a)
{
    __m256i low = _mm256_permutevar8x32_epi32(a, _mm256_setr_epi32(0, 2, 4, 6, 0, 2, 4, 6));
    _mm_storeu_si128((__m128i *)p, _mm256_castsi256_si128(low));
}

static inline f32_vec f32_load_n(const float *p, size_t n) { return _mm256_maskload_ps(p, f32_first(n)); }
static inline f64_vec f64_load_n(const double *p, size_t n) { return _mm256_maskload_pd(p, f64_first(n)); }
static inline void f32_store_n(float *p, f32_vec a, size_t n) { _mm256_maskstore_ps(p, f32_first(n), a); }
static inline void f64_store_n(double *p, f64_vec a, size_t n) { _mm256_maskstore_pd(p, f64_first(n), a); }

static inline f32_mask f32_lt(f32_vec a, f32_vec b) { return _mm256_cmp_ps(a, b, _CMP_LT_OQ); }
static inline f64_mask f64_lt(f64_vec a, f64_vec b) { return _mm256_cmp_pd(a, b, _CMP_LT_OQ); }
static inline f32_mask f32_eq(f32_vec a, f32_vec b) { return _mm256_cmp_ps(a, b, _CMP_EQ_OQ); }
static inline f64_mask f64_eq(f64_vec a, f64_vec b) { return _mm256_cmp_pd(a, b, _CMP_EQ_OQ); }
static inline f32_vec f32_select(f32_mask m, f32_vec yes, f32_vec no) { return _mm256_blendv_ps(no, yes, m); }
static inline f64_vec f64_select(f64_mask m, f64_vec yes, f64_vec no) { return _mm256_blendv_pd(no, yes, m); }

static inline f32_vec f32_from_bits(f32_ivec a) { return _mm256_castsi256_ps(a); }
static inline f64_vec f64_from_bits(f64_ivec a) { return _mm256_castsi256_pd(a); }
static inline f32_ivec f32_iset1(int32_t a) { return _mm256_set1_epi32(a); }
static inline f64_ivec f64_iset1(int64_t a) { return _mm256_set1_epi64x(a); }

/* 16 virtual lanes, added as (l, l+8), (l, l+4), (l, l+2), (l, l+1). */
static inline float f32_sum16(const f32_vec *p)
{
    f32_vec a = _mm256_add_ps(p[0], p[1]);
    __m128 b = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    b = _mm_add_ps(b, _mm_movehl_ps(b, b));
    return _mm_cvtss_f32(_mm_add_ss(b, _mm_movehdup_ps(b)));
}
static inline double f64_sum16(const f64_vec *p)
{
    f64_vec a = _mm256_add_pd(_mm256_add_pd(p[0], p[2]), _mm256_add_pd(p[1], p[3]));
    __m128d b = _mm_add_pd(_mm256_castpd256_pd128(a), _mm256_extractf128_pd(a, 1));
    return _mm_cvtsd_f64(_mm_add_sd(b, _mm_unpackhi_pd(b, b)));
}

/* r[i][j] -> r[j][i], LANES x LANES. */
static inline void f32_transpose(f32_vec *r)
{
    f32_vec t[8];
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        t[2 * i] = _mm256_unpacklo_ps(r[2 * i], r[2 * i + 1]);
        t[2 * i + 1] = _mm256_unpackhi_ps(r[2 * i], r[2 * i + 1]);
    }
#pragma GCC unroll 2
    for (int i = 0; i < 2; i++) {
        r[4 * i] = _mm256_shuffle_ps(t[4 * i], t[4 * i + 2], 0x44);
        r[4 * i + 1] = _mm256_shuffle_ps(t[4 * i], t[4 * i + 2], 0xEE);
        r[4 * i + 2] = _mm256_shuffle_ps(t[4 * i + 1], t[4 * i + 3], 0x44);
        r[4 * i + 3] = _mm256_shuffle_ps(t[4 * i + 1], t[4 * i + 3], 0xEE);
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        t[i] = _mm256_permute2f128_ps(r[i], r[i + 4], 0x20);
        t[i + 4] = _mm256_permute2f128_ps(r[i], r[i + 4], 0x31);
    }
#pragma GCC unroll 8
    for (int i = 0; i < 8; i++)
        r[i] = t[i];
}
static inline void f64_transpose(f64_vec *r)
{
    f64_vec t0 = _mm256_unpacklo_pd(r[0], r[1]), t1 = _mm256_unpackhi_pd(r[0], r[1]);
    f64_vec t2 = _mm256_unpacklo_pd(r[2], r[3]), t3 = _mm256_unpackhi_pd(r[2], r[3]);
    r[0] = _mm256_permute2f128_pd(t0, t2, 0x20);
    r[1] = _mm256_permute2f128_pd(t1, t3, 0x20);
    r[2] = _mm256_permute2f128_pd(t0, t2, 0x31);
    r[3] = _mm256_permute2f128_pd(t1, t3, 0x31);
}
#endif
