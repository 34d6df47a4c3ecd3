/* Names the primitives of simd_*.h without their type: inside kernels.inc, v_add is f32_add or f64_add by TYPE.
   Included once; the names are looked up where they are used, so that TYPE may change between two uses. */
#ifndef FASTNN_VEC_H
#define FASTNN_VEC_H

#define NAME_(type, name) type##_##name
#define NAME(type, name) NAME_(type, name)
#define P(name) NAME(TYPE, name)

#define vec P(vec)
#define ivec P(ivec)
#define mask P(mask)
#define LANES P(LANES)
#define v_add P(add)
#define v_sub P(sub)
#define v_mul P(mul)
#define v_div P(div)
#define v_sqrt P(sqrt)
#define v_fma P(fma) /* a * b + c */
#define v_fnma P(fnma) /* c - a * b */
#define v_min P(min) /* a < b ? a : b */
#define v_max P(max) /* a > b ? a : b */
#define v_and P(and)
#define v_or P(or)
#define v_xor P(xor)
#define v_andnot P(andnot) /* ~a & b */
#define v_set1 P(set1)
#define v_zero P(zero)
#define v_load P(load)
#define v_store P(store)
#define v_load_n P(load_n) /* lanes from n on are zero; 0 <= n <= LANES */
#define v_store_n P(store_n)
#define v_lt P(lt)
#define v_eq P(eq)
#define v_select P(select)
#define v_bits P(bits)
#define v_from_bits P(from_bits)
#define v_iset1 P(iset1)
#define v_iadd P(iadd)
#define v_isub P(isub)
#define v_iand P(iand)
#define v_ior P(ior)
#define v_ishl P(ishl)
#define v_ishr P(ishr)
#define v_sum16 P(sum16)
#define v_transpose P(transpose)

/* Where branches are counted: one copy of a body, not one for each caller, whose constants rule out some of its branches. */
#if defined(FASTNN_COUNTED)
#define INLINE static inline
#else
#define INLINE static inline __attribute__((always_inline))
#endif
#define SUM16_VECTORS (16 / LANES)

#endif
