#define ISA neon
#include "simd_neon.h"

#include "both_types.h"
