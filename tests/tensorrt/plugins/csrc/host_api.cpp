#include "host_api.h"

#include "device_api.h"

#include <cstdlib>
#include <cstring>
#include <new>

namespace sgn
{
namespace host
{

Counters counters{};
Settings settings{-1, 0, 0, 0, 0};

// Exactly that many bytes, so that AddressSanitizer sees the first one beyond.
void* allocateTensor(std::size_t bytes)
{
    void* memory = nullptr;
    return posix_memalign(&memory, 256, bytes) == 0 ? memory : nullptr;
}

void releaseTensor(void* memory)
{
    std::free(memory);
}

void* onDevice(void* memory)
{
    return memory;
}

int execute(int (*enqueue)(void* context, cudaStream_t stream), void* context)
{
    return enqueue(context, nullptr);
}

} // namespace host

namespace
{

cudaError_t allocate(void** memory, std::size_t bytes)
{
    ++host::counters.device_calls;
    if (host::settings.fail_allocation != 0)
    {
        return cudaErrorMemoryAllocation;
    }
    constexpr std::size_t kAlignment = 256;
    if (posix_memalign(memory, kAlignment, bytes) != 0)
    {
        return cudaErrorMemoryAllocation;
    }
    std::memset(*memory, 0xff, bytes); // NaN, as device memory is not cleared either
    ++host::counters.device_alive;
    return cudaSuccess;
}

cudaError_t release(void* memory)
{
    ++host::counters.device_calls;
    --host::counters.device_alive;
    std::free(memory);
    return cudaSuccess;
}

cudaError_t upload(void* destination, void const* source, std::size_t bytes)
{
    ++host::counters.device_calls;
    std::memcpy(destination, source, bytes);
    return cudaSuccess;
}

cudaError_t clear(void* memory, std::size_t bytes, cudaStream_t /*stream*/)
{
    std::memset(memory, 0, bytes);
    return cudaSuccess;
}

cudaError_t cacheBytes(std::int64_t* bytes)
{
    *bytes = host::settings.cache_bytes;
    return cudaSuccess;
}

char const* describe(cudaError_t error)
{
    return error == cudaErrorMemoryAllocation ? "out of memory" : "error of the host build";
}

} // namespace

DeviceApi const& deviceApi() noexcept
{
    static constexpr DeviceApi kHost{&allocate, &release, &upload, &clear, &cacheBytes, &describe};
    return kHost;
}

} // namespace sgn

#if !defined(__SANITIZE_ADDRESS__)
void* operator new(std::size_t bytes)
{
    ++sgn::host::counters.heap;
    if (void* const memory = std::malloc(bytes != 0 ? bytes : 1))
    {
        return memory;
    }
    throw std::bad_alloc();
}

void operator delete(void* memory) noexcept
{
    std::free(memory);
}

void operator delete(void* memory, std::size_t /*bytes*/) noexcept
{
    std::free(memory);
}
#endif
