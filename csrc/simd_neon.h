/* AArch64 Advanced SIMD: the primitives of vec.h, 4 float or 2 double lanes. */
#ifndef FASTNN_SIMD_NEON_H
#define FASTNN_SIMD_NEON_H
#include <arm_neon.h>
#include <stddef.h>
#include <stdint.h>

#define SIMD_PANEL_VECTORS 4 /* 6 rows x 4 vectors: 24 accumulators of 32 registers */
#define SIMD_TILE_ROWS {0, 14, 12, 8, 6} /* largest tile, by its vectors */
#define SIMD_TILES TILES_14(1) TILES_12(2) TILES_8(3) TILES_6(4)
#define SIMD_DOT_ROWS 16
#define SIMD_INPUT_ROWS 8 /* accumulators of input_forward, in pairs of vectors */
#define SIMD_INPUT_DEPTH 12 /* and of input_gradient */

#define f32_LANES 4
#define f64_LANES 2
typedef float32x4_t f32_vec;
typedef float64x2_t f64_vec;
typedef int32x4_t f32_ivec;
typedef int64x2_t f64_ivec;
typedef uint32x4_t f32_mask;
typedef uint64x2_t f64_mask;

#define BOTH_BINARY(name, op)                                                         \
    static inline f32_vec f32_##name(f32_vec a, f32_vec b) { return op##_f32(a, b); } \
    static inline f64_vec f64_##name(f64_vec a, f64_vec b) { return op##_f64(a, b); }
BOTH_BINARY(add, vaddq)
BOTH_BINARY(sub, vsubq)
BOTH_BINARY(mul, vmulq)
BOTH_BINARY(div, vdivq)
#undef BOTH_BINARY

static inline f32_vec f32_fma(f32_vec a, f32_vec b, f32_vec c) { return vfmaq_f32(c, a, b); }
static inline f64_vec f64_fma(f64_vec a, f64_vec b, f64_vec c) { return vfmaq_f64(c, a, b); }
static inline f32_vec f32_fnma(f32_vec a, f32_vec b, f32_vec c) { return vfmsq_f32(c, a, b); }
static inline f64_vec f64_fnma(f64_vec a, f64_vec b, f64_vec c) { return vfmsq_f64(c, a, b); }
static inline f32_vec f32_sqrt(f32_vec a) { return vsqrtq_f32(a); }
static inline f64_vec f64_sqrt(f64_vec a) { return vsqrtq_f64(a); }
static inline f32_vec f32_set1(float a) { return vdupq_n_f32(a); }
static inline f64_vec f64_set1(double a) { return vdupq_n_f64(a); }
static inline f32_vec f32_zero(void) { return vdupq_n_f32(0.0f); }
static inline f64_vec f64_zero(void) { return vdupq_n_f64(0.0); }

static inline f32_ivec f32_bits(f32_vec a) { return vreinterpretq_s32_f32(a); }
static inline f64_ivec f64_bits(f64_vec a) { return vreinterpretq_s64_f64(a); }
static inline f32_vec f32_from_bits(f32_ivec a) { return vreinterpretq_f32_s32(a); }
static inline f64_vec f64_from_bits(f64_ivec a) { return vreinterpretq_f64_s64(a); }
static inline f32_ivec f32_iset1(int32_t a) { return vdupq_n_s32(a); }
static inline f64_ivec f64_iset1(int64_t a) { return vdupq_n_s64(a); }
static inline f32_ivec f32_iadd(f32_ivec a, f32_ivec b) { return vaddq_s32(a, b); }
static inline f64_ivec f64_iadd(f64_ivec a, f64_ivec b) { return vaddq_s64(a, b); }
static inline f32_ivec f32_isub(f32_ivec a, f32_ivec b) { return vsubq_s32(a, b); }
static inline f64_ivec f64_isub(f64_ivec a, f64_ivec b) { return vsubq_s64(a, b); }
static inline f32_ivec f32_iand(f32_ivec a, f32_ivec b) { return vandq_s32(a, b); }
static inline f64_ivec f64_iand(f64_ivec a, f64_ivec b) { return vandq_s64(a, b); }
static inline f32_ivec f32_ior(f32_ivec a, f32_ivec b) { return vorrq_s32(a, b); }
static inline f64_ivec f64_ior(f64_ivec a, f64_ivec b) { return vorrq_s64(a, b); }
#define f32_ishl(a, n) vshlq_n_s32(a, n)
#define f64_ishl(a, n) vshlq_n_s64(a, n)
#define f32_ishr(a, n) vreinterpretq_s32_u32(vshrq_n_u32(vreinterpretq_u32_s32(a), n))
#define f64_ishr(a, n) vreinterpretq_s64_u64(vshrq_n_u64(vreinterpretq_u64_s64(a), n))

#define BOTH_BITWISE(name, op, ...)                                            \
    static inline f32_vec f32_##name(f32_vec a, f32_vec b)                     \
    {                                                                          \
        return f32_from_bits(op##_s32(__VA_ARGS__(f32_bits(a), f32_bits(b)))); \
    }                                                                          \
    static inline f64_vec f64_##name(f64_vec a, f64_vec b)                     \
    {                                                                          \
        return f64_from_bits(op##_s64(__VA_ARGS__(f64_bits(a), f64_bits(b)))); \
    }
#define SAME_ORDER(a, b) a, b
#define SWAP_ORDER(a, b) b, a
BOTH_BITWISE(and, vandq, SAME_ORDER)
BOTH_BITWISE(or, vorrq, SAME_ORDER)
BOTH_BITWISE(xor, veorq, SAME_ORDER)
BOTH_BITWISE(andnot, vbicq, SWAP_ORDER) /* ~a & b, as on x86 */
#undef BOTH_BITWISE
#undef SAME_ORDER
#undef SWAP_ORDER

static inline f32_mask f32_lt(f32_vec a, f32_vec b) { return vcltq_f32(a, b); }
static inline f64_mask f64_lt(f64_vec a, f64_vec b) { return vcltq_f64(a, b); }
static inline f32_mask f32_eq(f32_vec a, f32_vec b) { return vceqq_f32(a, b); }
static inline f64_mask f64_eq(f64_vec a, f64_vec b) { return vceqq_f64(a, b); }
static inline f32_vec f32_select(f32_mask m, f32_vec yes, f32_vec no) { return vbslq_f32(m, yes, no); }
static inline f64_vec f64_select(f64_mask m, f64_vec yes, f64_vec no) { return vbslq_f64(m, yes, no); }
/* a < b ? a : b and a > b ? a : b, whatever NaN or signed zero comes: what x86 does */
static inline f32_vec f32_min(f32_vec a, f32_vec b) { return vbslq_f32(vcltq_f32(a, b), a, b); }
static inline f64_vec f64_min(f64_vec a, f64_vec b) { return vbslq_f64(vcltq_f64(a, b), a, b); }
static inline f32_vec f32_max(f32_vec a, f32_vec b) { return vbslq_f32(vcgtq_f32(a, b), a, b); }
static inline f64_vec f64_max(f64_vec a, f64_vec b) { return vbslq_f64(vcgtq_f64(a, b), a, b); }

static inline f32_vec f32_load(const float *p) { return vld1q_f32(p); }
static inline f64_vec f64_load(const double *p) { return vld1q_f64(p); }
static inline void f32_store(float *p, f32_vec a) { vst1q_f32(p, a); }
static inline void f64_store(double *p, f64_vec a) { vst1q_f64(p, a); }
static inline f32_vec f32_load_n(const float *p, size_t n)
{
    float t[4] = {0, 0, 0, 0};
    for (size_t i = 0; i < n; i++)
        t[i] = p[i];
    return vld1q_f32(t);
}
static inline f64_vec f64_load_n(const double *p, size_t n)
{
    double t[2] = {0, 0};
    for (size_t i = 0; i < n; i++)
        t[i] = p[i];
    return vld1q_f64(t);
}
static inline void f32_store_n(float *p, f32_vec a, size_t n)
{
    float t[4];
    vst1q_f32(t, a);
    for (size_t i = 0; i < n; i++)
        p[i] = t[i];
}
static inline void f64_store_n(double *p, f64_vec a, size_t n)
{
    double t[2];
    vst1q_f64(t, a);
    for (size_t i = 0; i < n; i++)
        p[i] = t[i];
}

/* 16 virtual lanes, added as (l, l+8), (l, l+4), (l, l+2), (l, l+1). */
static inline float f32_sum16(const f32_vec *p)
{
    f32_vec a = vaddq_f32(vaddq_f32(p[0], p[2]), vaddq_f32(p[1], p[3]));
    float32x2_t b = vadd_f32(vget_low_f32(a), vget_high_f32(a));
    return vget_lane_f32(b, 0) + vget_lane_f32(b, 1);
}
static inline double f64_sum16(const f64_vec *p)
{
    f64_vec a = vaddq_f64(vaddq_f64(p[0], p[4]), vaddq_f64(p[2], p[6]));
    f64_vec b = vaddq_f64(vaddq_f64(p[1], p[5]), vaddq_f64(p[3], p[7]));
    f64_vec c = vaddq_f64(a, b);
    return vgetq_lane_f64(c, 0) + vgetq_lane_f64(c, 1);
}

/* r[i][j] -> r[j][i], LANES x LANES. */
static inline void f32_transpose(f32_vec *r)
{
    float32x4x2_t a = vtrnq_f32(r[0], r[1]), b = vtrnq_f32(r[2], r[3]);
    r[0] = vcombine_f32(vget_low_f32(a.val[0]), vget_low_f32(b.val[0]));
    r[1] = vcombine_f32(vget_low_f32(a.val[1]), vget_low_f32(b.val[1]));
    r[2] = vcombine_f32(vget_high_f32(a.val[0]), vget_high_f32(b.val[0]));
    r[3] = vcombine_f32(vget_high_f32(a.val[1]), vget_high_f32(b.val[1]));
}
static inline void f64_transpose(f64_vec *r)
{
    f64_vec a = vtrn1q_f64(r[0], r[1]);
    r[1] = vtrn2q_f64(r[0], r[1]);
    r[0] = a;
}
#endif
