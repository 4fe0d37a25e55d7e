#include "device_api.h"

#include <cuda_runtime_api.h>

namespace sgn
{
namespace
{

cudaError_t allocate(void** memory, std::size_t bytes)
{
    return cudaMalloc(memory, bytes);
}

cudaError_t release(void* memory)
{
    return cudaFree(memory);
}

// A copy from pageable memory may return before its last bytes arrive, and streams created non-blocking do not
// wait for this one: hence the explicit wait. Not the legacy default stream, which would wait for others' streams:
// where another thread captures one of these into a graph, that breaks the capture.
cudaError_t upload(void* destination, void const* source, std::size_t bytes)
{
    cudaError_t const copied = cudaMemcpyAsync(destination, source, bytes, cudaMemcpyHostToDevice, cudaStreamPerThread);
    return copied != cudaSuccess ? copied : cudaStreamSynchronize(cudaStreamPerThread);
}

cudaError_t clear(void* memory, std::size_t bytes, cudaStream_t stream)
{
    return cudaMemsetAsync(memory, 0, bytes, stream);
}

cudaError_t cacheBytes(std::int64_t* bytes)
{
    int device = 0;
    int size = 0;
    cudaError_t error = cudaGetDevice(&device);
    if (error == cudaSuccess)
    {
        error = cudaDeviceGetAttribute(&size, cudaDevAttrL2CacheSize, device);
    }
    *bytes = size;
    return error;
}

char const* describe(cudaError_t error)
{
    return cudaGetErrorString(error);
}

} // namespace

DeviceApi const& deviceApi() noexcept
{
    static constexpr DeviceApi kCuda{&allocate, &release, &upload, &clear, &cacheBytes, &describe};
    return kCuda;
}

} // namespace sgn
