#include "base/vec.h"

#ifdef VEC_AVX2
bool vec_portable;
#endif
