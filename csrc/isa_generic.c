#define ISA generic
#include "simd_generic.h"

#include "both_types.h"
