/* Products by vdpbf16ps: AVX-512 with AVX512_BF16, on the panels of avx512. */
#include "simd_avx512.h"

#include "kernels.h"
#include "vec.h"

#define TYPE f32
#define REAL float
#include "tile_finish.h"
#define BF16_KIND "vdpbf16ps"
#define BF16_TABLE fnn_avx512bf16_bf16
#include "bf16.inc"
