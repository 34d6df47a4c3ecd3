from fastnn.kernels.csrc cimport fnn_kernels
from fastnn.kernels.plan cimport Layer
from fastnn.kernels.runtime cimport real

cdef void layer_forward(const fnn_kernels *k, const Layer *layer, const real *weights, real *work, Py_ssize_t begin,
                        Py_ssize_t rows, real *scratch) noexcept nogil
cdef void layer_backward(const fnn_kernels *k, const Layer *layer, const Layer *below, const real *weights,
                         const real *transposed, real *work, Py_ssize_t begin, Py_ssize_t rows, real *scratch) noexcept nogil
cdef void multiply(const fnn_kernels *k, Py_ssize_t columns, const real *a, Py_ssize_t a_row, Py_ssize_t a_step, const real *b,
                   Py_ssize_t b_step, real *c, Py_ssize_t c_row, Py_ssize_t depth, Py_ssize_t rows) noexcept nogil
cdef void activate(const fnn_kernels *k, const Layer *layer, const real *out, Py_ssize_t ld, real *z, real *a, Py_ssize_t rows,
                   int finish, real *scratch) noexcept nogil
cdef void slope(const fnn_kernels *k, const Layer *layer, const real *read, real *d, Py_ssize_t ld, Py_ssize_t rows, int finish,
                real *scratch) noexcept nogil
cdef void wide_gradient(const fnn_kernels *k, const Layer *layer, const real *work, Py_ssize_t begin, Py_ssize_t rows,
                        Py_ssize_t panel, Py_ssize_t first, Py_ssize_t last, real *gradient, bint add) noexcept nogil
cdef void narrow_gradient(const fnn_kernels *k, const Layer *layer, const real *work, Py_ssize_t begin, Py_ssize_t rows,
                          Py_ssize_t panel, real *gradient, Py_ssize_t stride, bint add) noexcept nogil
cdef void pack(const Layer *layer, const real *kernel, const real *bias, real *weights) noexcept nogil
cdef void unpack(const Layer *layer, const real *weights, real *kernel, real *bias) noexcept nogil
cdef void refresh_transposed(const fnn_kernels *k, const Layer *layer, const real *weights, real *transposed, Py_ssize_t panel,
                             Py_ssize_t first, Py_ssize_t last) noexcept nogil
cdef void rowwise_forward(const fnn_kernels *k, int activation, const double *parameters, Py_ssize_t rows, Py_ssize_t units,
                          const real *z, Py_ssize_t ldz, real *a, Py_ssize_t lda, real *scratch) noexcept nogil
cdef void rowwise_backward(const fnn_kernels *k, int activation, const double *parameters, Py_ssize_t rows, Py_ssize_t units,
                           const real *a, Py_ssize_t lda, real *d, Py_ssize_t ldd, real *scratch) noexcept nogil
