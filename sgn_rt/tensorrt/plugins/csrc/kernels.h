// Launchers of the kernels. Pointers are device memory; all return the launch's status and never synchronise.
// Layouts are row-major, dimensions written outermost first; a spectrum is [batch, frames, bins] of (re, im), as rows
// are what the FFT transforms. Counts of rows and items are below kMaximumRows, so that kernels divide 32-bit numbers:
// the 64-bit division is a subroutine, which costs registers and stack.
#pragma once

#include "elementwise.h"
#include "geometry.h"

#include <cuda_runtime_api.h>

#include <cstdint>

namespace sgn
{

// rows[i] = window * mixture around frame first_row + i; frame r is frame r % frames of window r / frames.
struct FramingArguments
{
    float const* mixture; // [batch, samples]
    float const* window; // [rowFloats], zero beyond n_fft
    float* rows; // [batch * frames, rowFloats], all of it; the kernel writes from first_row on
    int first_row;
    int samples;
    int frames;
    int hop_length;
    int padding;
    int pairs; // of floats in a row: bins
};
cudaError_t launchFraming(FramingArguments const& arguments, std::int64_t rows, cudaStream_t stream);

// log_magnitude = ln(linear interpolation of |spectrum| on the log axis + epsilon)
template <typename Value>
struct LogMagnitudeArguments
{
    float2 const* spectrum; // [batch, frames, bins]
    FrequencyTap const* taps; // [log_bins]
    Value* log_magnitude; // [batch, 1, log_bins, frames]
    float epsilon;
    int bins;
    int log_bins;
    int frames;
    int frame_tiles;
};
template <typename Value>
cudaError_t launchLogMagnitude(LogMagnitudeArguments<Value> arguments, std::int64_t batch, cudaStream_t stream);

// rows of item i = spectrum of its window * linear interpolation of its mask on the linear axis; item i is source
// i % sources of window i / sources.
template <typename Value>
struct MaskingArguments
{
    float2 const* spectrum; // [batch, frames, bins]
    Value const* masks; // [batch * sources, log_bins, frames]
    FrequencyTap const* taps; // [bins]
    float2* rows; // [items, frames, bins], item 0 being first_item
    int first_item;
    int sources;
    int bins;
    int log_bins;
    int frames;
    int frame_tiles;
    int real_last_bin; // the Nyquist bin, -1 for odd n_fft
};
template <typename Value>
cudaError_t launchMasking(MaskingArguments<Value> arguments, std::int64_t items, cudaStream_t stream);

// sources = sum over frames of window * row / (n_fft * sum over frames of window^2), padding cut off
struct OverlapAddArguments
{
    float const* rows; // [items, frames, row_floats], n_fft samples each, item 0 being first_item
    float const* window; // [rowFloats]
    float* sources; // [batch * sources, samples]
    int first_item;
    int samples;
    int frames;
    int n_fft;
    int hop_length;
    int row_floats;
};
cudaError_t launchOverlapAdd(OverlapAddArguments const& arguments, std::int64_t items, cudaStream_t stream);

// Loads every kernel of an operation; fails where the library has none for the current GPU.
cudaError_t loadStftKernels();
cudaError_t loadIstftKernels();

} // namespace sgn
