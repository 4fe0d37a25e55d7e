// Launch of a kernel: the one place where device and host builds part.
#pragma once

#ifdef SGN_RT_HOST_KERNELS
#include "host_kernels.h" // of the tests: runs the same kernels on host memory
#else

#include <cuda_runtime_api.h>

#include <cstddef>

#define SGN_UNROLL _Pragma("unroll")
#define SGN_UNROLL_BY_2 _Pragma("unroll 2")
#define SGN_UNROLL_BY_4 _Pragma("unroll 4")

namespace sgn
{

// Returns what this launch returned, and leaves errors of others where they are.
template <typename Arguments>
cudaError_t launch(void (*kernel)(Arguments), dim3 grid, dim3 block, cudaStream_t stream, Arguments arguments)
{
    void* pointers[] = {&arguments};
    return cudaLaunchKernel(reinterpret_cast<void const*>(kernel), grid, block, pointers, std::size_t{0}, stream);
}

// Brings a kernel's code onto the current GPU, so that its first launch does not: that may be one under capture.
template <typename Arguments>
cudaError_t load(void (*kernel)(Arguments))
{
    cudaFuncAttributes attributes{};
    return cudaFuncGetAttributes(&attributes, reinterpret_cast<void const*>(kernel));
}

} // namespace sgn

#endif
