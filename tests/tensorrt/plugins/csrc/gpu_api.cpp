// The driver on a GPU. Every call is run as it is, captured into a CUDA graph, and the graph run twice: what enqueue
// must not do (allocate, synchronise, plan) fails the capture.
#include "host_api.h"

#include <cuda_runtime_api.h>

#include <cstdlib>
#include <map>

namespace sgn::host
{

Counters counters{0, 0, 0, 0, 0, -1};
Settings settings{-1, 0, 0, 0, 0};

namespace
{

constexpr int kFailure = 1;

struct OnDevice
{
    void* memory;
    std::size_t bytes;
};

// By address on the host. Not memory that both share: on machines with several users it can hang the card.
std::map<void*, OnDevice> tensors;

bool copyAll(cudaMemcpyKind kind)
{
    bool done = true;
    for (auto const& [shadow, tensor] : tensors)
    {
        bool const down = kind == cudaMemcpyDeviceToHost;
        void* const to = down ? shadow : tensor.memory;
        void const* const from = down ? tensor.memory : shadow;
        done = cudaMemcpy(to, from, tensor.bytes, kind) == cudaSuccess && done;
    }
    return done;
}

int captured(int (*enqueue)(void* context, cudaStream_t stream), void* context, cudaStream_t stream)
{
    cudaGraph_t graph = nullptr;
    if (cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal) != cudaSuccess)
    {
        return kFailure;
    }
    int const status = enqueue(context, stream);
    if (cudaStreamEndCapture(stream, &graph) != cudaSuccess || status != 0)
    {
        return kFailure;
    }
    cudaGraphExec_t executable = nullptr;
    bool done = cudaGraphInstantiate(&executable, graph, 0) == cudaSuccess;
    for (int i = 0; done && i < 2; ++i)
    {
        done = cudaGraphLaunch(executable, stream) == cudaSuccess;
    }
    done = cudaStreamSynchronize(stream) == cudaSuccess && done;
    static_cast<void>(cudaGraphExecDestroy(executable));
    static_cast<void>(cudaGraphDestroy(graph));
    return done ? 0 : kFailure;
}

} // namespace

void* allocateTensor(std::size_t bytes)
{
    std::size_t const size = bytes != 0 ? bytes : 1;
    void* memory = nullptr;
    if (cudaMalloc(&memory, size) != cudaSuccess)
    {
        return nullptr;
    }
    void* const shadow = std::malloc(size);
    tensors[shadow] = {memory, size};
    return shadow;
}

void releaseTensor(void* memory)
{
    static_cast<void>(cudaFree(onDevice(memory)));
    tensors.erase(memory);
    std::free(memory);
}

void* onDevice(void* memory)
{
    auto const found = tensors.find(memory);
    return found != tensors.end() ? found->second.memory : memory;
}

int execute(int (*enqueue)(void* context, cudaStream_t stream), void* context)
{
    cudaStream_t stream = nullptr;
    if (cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking) != cudaSuccess)
    {
        return kFailure;
    }
    int status = copyAll(cudaMemcpyHostToDevice) ? enqueue(context, stream) : kFailure;
    if (cudaStreamSynchronize(stream) != cudaSuccess)
    {
        status = kFailure;
    }
    if (status == 0)
    {
        status = captured(enqueue, context, stream);
    }
    if (!copyAll(cudaMemcpyDeviceToHost))
    {
        status = kFailure;
    }
    static_cast<void>(cudaStreamDestroy(stream));
    return status;
}

} // namespace sgn::host

extern "C" __attribute__((visibility("default"))) int sgn_test_gpus()
{
    int count = 0;
    return cudaGetDeviceCount(&count) == cudaSuccess ? count : 0;
}
