#include "device_api.h"
#include "status.h"

#include <string>

namespace sgn
{

void checkDevice(cudaError_t error, char const* what)
{
    if (error != cudaSuccess)
    {
        fail(what, std::string(deviceApi().describe(error)) + " (CUDA error " + std::to_string(error) + ")", "success",
            "Check the GPU's free memory and the driver.");
    }
}

DeviceBuffer::DeviceBuffer(std::size_t bytes)
{
    checkDevice(deviceApi().allocate(&memory_, bytes), "device memory");
}

DeviceBuffer::~DeviceBuffer()
{
    if (memory_ != nullptr)
    {
        static_cast<void>(deviceApi().release(memory_)); // at process exit the driver may be gone already
    }
}

} // namespace sgn
