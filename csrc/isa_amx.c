/* Products by AMX (tdpbf16ps), everything else by AVX-512, on the panels of avx512. */
#if defined(FASTNN_AMX_MODEL)
#include FASTNN_AMX_MODEL
#endif
#include "simd_avx512.h"

#include "kernels.h"
#include "vec.h"

#define TYPE f32
#define REAL float
#include "tile_finish.h"
#define BF16_AMX 1
#define BF16_KIND "amx"
#define BF16_TABLE fnn_amx_bf16
#include "bf16.inc"
