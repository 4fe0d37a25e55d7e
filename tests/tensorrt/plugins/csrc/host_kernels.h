// Runs CUDA kernels on host memory, from the same source. Included by launch.h in the host build.
//
// Blocks run one after another. The threads of a block run in turn until they end or reach a barrier; there the
// thread's stack is set aside and the next one runs, so that a missing barrier shows as wrong results, and a barrier
// that part of a block never reaches as a failed launch.
#pragma once

#include <cuda_runtime_api.h>

#include <algorithm>

// Shared memory is one variable for all threads, as blocks do not overlap.
#undef __shared__
#define __shared__ static
#undef __launch_bounds__
#define __launch_bounds__(...)
#undef __syncthreads
#define __syncthreads() ::sgn::host::barrier()

#define SGN_UNROLL
#define SGN_UNROLL_BY_2
#define SGN_UNROLL_BY_4

namespace sgn::host
{

struct Index
{
    unsigned x;
    unsigned y;
    unsigned z;
};
extern Index thread_index;
extern Index block_index;
cudaError_t loadResult(); // of kernels

void barrier();

// Calls body(context) once per thread.
cudaError_t run(dim3 grid, dim3 block, void (*body)(void const*), void const* context);

} // namespace sgn::host

#define threadIdx (::sgn::host::thread_index)
#define blockIdx (::sgn::host::block_index)

namespace sgn
{

using std::min; // CUDA's is in the global namespace

template <typename Arguments>
cudaError_t launch(void (*kernel)(Arguments), dim3 grid, dim3 block, cudaStream_t /*stream*/, Arguments arguments)
{
    struct Bound
    {
        void (*kernel)(Arguments);
        Arguments arguments;
    };
    Bound const bound{kernel, arguments};
    auto const call = [](void const* context) {
        auto const& self = *static_cast<Bound const*>(context);
        self.kernel(self.arguments);
    };
    return host::run(grid, block, call, &bound);
}

template <typename Arguments>
cudaError_t load(void (*kernel)(Arguments))
{
    return kernel != nullptr ? host::loadResult() : cudaErrorInvalidDeviceFunction;
}

} // namespace sgn
