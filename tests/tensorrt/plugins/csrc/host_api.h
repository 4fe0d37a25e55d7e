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
    long long heap; // calls of operator new, -1 where a sanitizer owns it
};
extern Counters counters;

struct Settings
{
    long long work_bytes; // what a plan asks for; -1: its own size
    int fail_allocation;
    int fail_load; // of kernels
    int fail_fft; // 1: plans cannot be created, 2: cannot be made
};
extern Settings settings;

// Memory of tensors and workspaces, which the tests read and write too.
void* allocateTensor(std::size_t bytes);
void releaseTensor(void* memory);

// Runs what enqueue puts on a stream to its end; returns enqueue's status.
int execute(int (*enqueue)(void* context, cudaStream_t stream), void* context);

} // namespace sgn::host
