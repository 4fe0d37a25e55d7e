// The few calls that leave this library for the CUDA runtime, behind one table.
//
// device_api_cuda.cpp fills it for a GPU; the host test build fills it with host memory.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>
#include <utility>

namespace sgn
{

struct DeviceApi
{
    cudaError_t (*allocate)(void** memory, std::size_t bytes);
    cudaError_t (*release)(void* memory);
    // Returns when the bytes have arrived, visible to every stream.
    cudaError_t (*upload)(void* destination, void const* source, std::size_t bytes);
    // Zeroes, in stream order.
    cudaError_t (*clear)(void* memory, std::size_t bytes, cudaStream_t stream);
    // Of the current device's L2 cache.
    cudaError_t (*cacheBytes)(std::int64_t* bytes);
    char const* (*describe)(cudaError_t error);
};

DeviceApi const& deviceApi() noexcept;

// Throws an Error naming what failed.
void checkDevice(cudaError_t error, char const* what);

// Device memory of one owner. Never used in enqueue.
class DeviceBuffer
{
public:
    DeviceBuffer() = default;
    explicit DeviceBuffer(std::size_t bytes);
    ~DeviceBuffer();
    DeviceBuffer(DeviceBuffer&& other) noexcept
        : memory_(std::exchange(other.memory_, nullptr))
    {
    }
    DeviceBuffer& operator=(DeviceBuffer&& other) noexcept
    {
        std::swap(memory_, other.memory_);
        return *this;
    }

    void* get() const noexcept
    {
        return memory_;
    }

private:
    void* memory_{nullptr};
};

} // namespace sgn
