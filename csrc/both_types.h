/* Compiles kernels.inc for both element types; ISA is defined and its simd_*.h included before. */
#include "kernels.h"
#include "vec.h"

#define TYPE f32
#define REAL float
#include "kernels.inc"
#define BF16_KIND "emulated"
#define BF16_TABLE TABLE(ISA, bf16)
#include "bf16.inc"
#undef TYPE
#undef REAL

#define TYPE f64
#define REAL double
#include "kernels.inc"
#undef TYPE
#undef REAL
