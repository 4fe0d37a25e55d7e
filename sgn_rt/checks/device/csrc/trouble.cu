// Kernels that take their time, and that fail long after they were launched.
#include <cuda_runtime.h>

#include <cstdint>

#define SGN_CHECK_EXPORT extern "C" __attribute__((visibility("default")))

namespace
{

__global__ void spin(long long cycles)
{
    long long const start = clock64();
    while (clock64() - start < cycles)
    {
    }
}

__global__ void trap()
{
    asm volatile("trap;");
}

} // namespace

// Keeps one multiprocessor busy for that many of its clock's cycles.
SGN_CHECK_EXPORT std::int32_t sgn_check_spin(long long cycles, std::uint64_t stream)
{
    spin<<<1, 1, 0, reinterpret_cast<cudaStream_t>(static_cast<std::uintptr_t>(stream))>>>(cycles);
    return cudaGetLastError();
}

// Breaks the context: nothing can be done on the device by this process after it.
SGN_CHECK_EXPORT std::int32_t sgn_check_trap(std::uint64_t stream)
{
    trap<<<1, 1, 0, reinterpret_cast<cudaStream_t>(static_cast<std::uintptr_t>(stream))>>>();
    return cudaGetLastError();
}
