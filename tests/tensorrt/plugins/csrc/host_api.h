// What the driver needs of the memory that it runs on: host_api.cpp on host memory, with counters and failures for the
// tests; gpu_api.cpp on a GPU.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>

namespace sgn::host
{

struct Counters
{
    long long device_calls; // of allocate, release and upload
    long long device_alive; // allocations not yet released
    long long fft_setup; // plans created or made
    long long plans_alive;
    long long fft_runs; // executions of plans
    long long heap; // calls of operator new, -1 where a sanitizer owns it
};
extern Counters counters;

struct Settings
{
    long long work_bytes; // what a plan asks for; -1: its own size
    int fail_allocation;
    int fail_load; // of kernels
    int fail_fft; // 1: plans cannot be created, 2: cannot be made
    long long cache_bytes; // of the device's L2
};
extern Settings settings;

// Memory of tensors and workspaces on the host, which the tests read and write.
void* allocateTensor(std::size_t bytes);
void releaseTensor(void* memory);

// Where the device has it; other addresses are what they are.
void* onDevice(void* memory);

// Runs what enqueue puts on a stream to its end, on what all memory holds, and brings the results back; returns
// enqueue's status.
int execute(int (*enqueue)(void* context, cudaStream_t stream), void* context);

} // namespace sgn::host
