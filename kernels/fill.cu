#include "kernels/fill.hpp"

#include "kernels/port/port.hpp"

namespace fer::FER_PORT {
namespace {

__global__ void fill_kernel(Fill a) {
    wait_for_previous();
    for (unsigned i = grid_thread(); i < a.count; i += grid_threads()) {
        a.y[i] = a.value;
    }
}

}  // namespace

void fill(const Fill& a, cudaStream_t stream) { launch(fill_kernel, over(a.count), stream, a); }

}  // namespace fer::FER_PORT
