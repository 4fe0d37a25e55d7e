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

// Of samples that leave the device. Full scale 1 is 32768 of int16.
enum class SampleFormat : std::int32_t
{
    kFloat32,
    kFloat16,
    kInt16,
    kDitheredInt16, // triangular noise of one step on either side
};


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

// out = the part of every source that is heard, times a gain, in the format wanted; flags tell of all samples.
struct WindowPart // as the application writes it, see WINDOW in kernels.py
{
    std::int64_t position; // of the window's first sample in its signal: where the dither's noise is
    std::uint64_t seed; // of the noise
    std::int32_t start; // first sample of the part, in the window
    float gain;
};
struct FinishArguments
{
    float const* sources; // [batch, source_count, samples]
    WindowPart const* windows; // [batch]
    std::int64_t const* categories; // [source_count], whose noise the sources have; null for their places
    void* out; // [batch, source_count, count]
    std::int32_t* flags; // [batch], zero before; 1 where any of the window's samples is not finite
    int source_count;
    int samples;
    int count;
    int tiles;
    bool aligned_sources; // fours of them
    bool aligned_out;
};
cudaError_t launchFinish(FinishArguments arguments, SampleFormat format, std::int64_t batch, cudaStream_t stream);

// out = source at another rate, by a polyphase filter; samples beyond the source's ends are zero. Output q of a period
// of `up` outputs and `down` inputs is sum over k of coefficients[k][places[q].column] * source[places[q].first + k].
struct alignas(16) PolyphasePlace
{
    int first; // input of the first coefficient, from the period's first input
    int column;
    float weight; // of the next column, where coefficients lie between two
    int unused;
};
struct ResampleSpan // as the application writes it, see SPAN in kernels.py
{
    std::int32_t output; // first one, from its period's first
    std::int32_t input; // that of the same period's first input, from the source's first sample
};
struct ResampleArguments
{
    float const* source; // [batch, rows, samples]
    ResampleSpan const* spans; // [batch]
    float* out; // [batch, rows, count]
    float const* coefficients; // [taps, columns]
    PolyphasePlace const* places; // [up]
    int rows;
    int samples;
    int count;
    int up;
    int down;
    int taps;
    int columns;
    int groups; // of rows that a thread works on, of all windows
};
cudaError_t launchResample(ResampleArguments arguments, bool interpolated, std::int64_t batch, cudaStream_t stream);

// Loads every kernel of an operation; fails where the library has none for the current GPU.
cudaError_t loadStftKernels();
cudaError_t loadIstftKernels();
cudaError_t loadFinishKernels();
cudaError_t loadResampleKernels();

} // namespace sgn
