// What this library gives to an application besides the plugins: kernels behind plain C functions, bound by kernels.py.
//
// Memory is given by address and a stream by its handle; the device and its context are those of the calling thread.
// Every function returns a cudaError_t, throws nothing, allocates nothing, waits for nothing, and may be captured into
// a CUDA graph.
#pragma once

#include <cstdint>

#define SGN_RT_EXPORT __attribute__((visibility("default")))

extern "C"
{

// Of the package that this library belongs to.
SGN_RT_EXPORT char const* sgn_rt_plugin_version();

// What a status means.
SGN_RT_EXPORT char const* sgn_rt_status_text(std::int32_t status);

// Of the FFT plan of this process that wanted the most work area for what was reserved: its rows, and both in bytes;
// all zero before there is a plan.
SGN_RT_EXPORT void sgn_rt_fft_work(std::int64_t* rows, std::int64_t* reserved_bytes, std::int64_t* wanted_bytes);

// Brings the kernels onto the current device, which their first launch would do otherwise.
SGN_RT_EXPORT std::int32_t sgn_rt_load_kernels();

// See FinishArguments and SampleFormat in kernels.h. A part beyond its window is moved into it.
SGN_RT_EXPORT std::int32_t sgn_rt_finish(std::uint64_t sources, std::uint64_t windows, std::uint64_t categories,
    std::uint64_t out, std::uint64_t flags, std::int64_t batch, std::int64_t source_count, std::int64_t samples,
    std::int64_t count, std::int32_t format, std::uint64_t stream);

// See ResampleArguments in kernels.h. Both rates are below 2^20 Hz.
SGN_RT_EXPORT std::int32_t sgn_rt_resample(std::uint64_t source, std::uint64_t spans, std::uint64_t out,
    std::uint64_t coefficients, std::uint64_t places, std::int64_t batch, std::int64_t rows, std::int64_t samples,
    std::int64_t count, std::int32_t up, std::int32_t down, std::int32_t taps, std::int32_t columns,
    std::int32_t interpolated, std::uint64_t stream);

} // extern "C"
