// Inverse transform: masking (frequency unwarp and mask product fused into the transposing load) and overlap-add
// (window, sum and normalisation in one gather per sample, without atomics: the same bits in every run). The FFT
// between them works in place.
#include "kernels.h"
#include "launch.h"

#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <initializer_list>

namespace sgn
{
namespace
{

constexpr int kThreads = 256;
constexpr int kLanes = 32;
constexpr int kGroups = kThreads / kLanes;
constexpr int kTileBins = kLanes;
constexpr int kTileFrames = 2 * kLanes;

// Two neighbouring frames of a mask; the second may lie beyond the last.
template <typename Value>
SGN_HOST_DEVICE float2 maskPair(Value const* mask, bool paired, bool second)
{
    if (paired)
    {
        return Stored<Value>::toFloat(*reinterpret_cast<typename Stored<Value>::Pair const*>(mask));
    }
    return make_float2(Stored<Value>::toFloat(mask[0]), second ? Stored<Value>::toFloat(mask[1]) : 0.0F);
}

// A tile of bins x frames per block. Masks are read along time, where they are contiguous, interpolated, and turned in
// shared memory; spectrum and rows go along frequency.
template <typename Value>
__global__ void __launch_bounds__(kThreads) maskingKernel(MaskingArguments<Value> a)
{
    __shared__ float tile[kTileBins][kTileFrames + 1];
    int const lane = static_cast<int>(threadIdx.x) % kLanes;
    int const group = static_cast<int>(threadIdx.x) / kLanes;
    int const first_frame = static_cast<int>(blockIdx.x) % a.frame_tiles * kTileFrames;
    int const first_bin = static_cast<int>(blockIdx.x) / a.frame_tiles * kTileBins;
    int const row_item = static_cast<int>(blockIdx.y);
    int const item = a.first_item + row_item;

    int const frame = 2 * lane;
    if (first_frame + frame < a.frames)
    {
        bool const paired = a.frames % 2 == 0; // else every other row starts between pairs
        bool const second = first_frame + frame + 1 < a.frames;
        Value const* const mask = a.masks + std::int64_t{item} * a.log_bins * a.frames + first_frame + frame;
        // Bins beyond the last repeat it, and all are read before any is stored: no condition and no store keeps the
        // reads from overlapping.
        float2 value[kTileBins / kGroups];
        SGN_UNROLL
        for (int i = 0; i < kTileBins / kGroups; ++i)
        {
            FrequencyTap const tap = a.taps[min(first_bin + i * kGroups + group, a.bins - 1)];
            Value const* const row = mask + static_cast<std::int64_t>(tap.low) * a.frames;
            float2 const low = maskPair(row, paired, second);
            float2 const high = maskPair(row + a.frames, paired, second);
            value[i] = make_float2(interpolated(tap, low.x, high.x), interpolated(tap, low.y, high.y));
        }
        SGN_UNROLL
        for (int i = 0; i < kTileBins / kGroups; ++i)
        {
            int const bin = i * kGroups + group;
            tile[bin][frame] = value[i].x;
            tile[bin][frame + 1] = value[i].y;
        }
    }
    __syncthreads();

    int const bin = first_bin + lane;
    if (bin >= a.bins)
    {
        return;
    }
    bool const real = bin == 0 || bin == a.real_last_bin;
    std::int64_t const window = item / a.sources;
    float2 const* const spectrum = a.spectrum + (window * a.frames + first_frame) * a.bins + bin;
    float2* const rows = a.rows + (std::int64_t{row_item} * a.frames + first_frame) * a.bins + bin;
    SGN_UNROLL
    for (int i = 0; i < kTileFrames / kGroups; ++i)
    {
        int const row = i * kGroups + group;
        if (first_frame + row < a.frames)
        {
            std::int64_t const offset = static_cast<std::int64_t>(row) * a.bins;
            rows[offset] = masked(spectrum[offset], tile[lane][row], real);
        }
    }
}

// How a thread's samples lie in the signal.
enum class Pairing
{
    kNone, // one sample
    kEven, // a pair of the padded signal, where hop and n_fft are even: both lie in the same frames, at even offsets
    kOdd, // the same where padding is odd: the signal's pairs are the second of one and the first of the next
};

constexpr int kOddPairs = kThreads - 1; // that a block stores; its last thread's are the next block's

template <Pairing Kind>
__global__ void __launch_bounds__(kThreads) overlapAddKernel(OverlapAddArguments a)
{
    constexpr int kWidth = Kind == Pairing::kNone ? 1 : 2;
    constexpr int kStep = Kind == Pairing::kOdd ? kOddPairs : kThreads;
    int const sample = (static_cast<int>(blockIdx.x) * kStep + static_cast<int>(threadIdx.x)) * kWidth; // to store
    int const padding = a.n_fft / 2;
    int const position = sample + padding / kWidth * kWidth; // aligned, in the padded signal
    if (Kind != Pairing::kOdd && sample >= a.samples)
    {
        return;
    }
    std::int64_t const row_item = blockIdx.y;
    float const* const rows = a.rows + row_item * a.frames * a.row_floats;
    int const last = lastFrame(position, a.frames, a.hop_length);
    float sum[kWidth] = {};
    float weight[kWidth] = {};
    SGN_UNROLL_BY_4
    for (int frame = firstFrame(position, a.n_fft, a.hop_length); frame <= last; ++frame)
    {
        int const offset = position - frame * a.hop_length;
        float const* const row = rows + static_cast<std::int64_t>(frame) * a.row_floats + offset;
        if constexpr (kWidth == 2)
        {
            float2 const value = *reinterpret_cast<float2 const*>(row);
            float2 const window = *reinterpret_cast<float2 const*>(a.window + offset);
            sum[0] += value.x * window.x;
            sum[1] += value.y * window.y;
            weight[0] += window.x * window.x;
            weight[1] += window.y * window.y;
        }
        else
        {
            sum[0] += row[0] * a.window[offset];
            weight[0] += a.window[offset] * a.window[offset];
        }
    }
    float* const out = a.sources + (a.first_item + row_item) * a.samples + sample;
    auto const scale = static_cast<float>(a.n_fft);
    if constexpr (Kind == Pairing::kNone)
    {
        out[0] = sum[0] / (weight[0] * scale);
    }
    else
    {
        float2 value = make_float2(sum[0] / (weight[0] * scale), sum[1] / (weight[1] * scale));
        if constexpr (Kind == Pairing::kOdd)
        {
            __shared__ float firsts[kThreads];
            firsts[threadIdx.x] = value.x;
            __syncthreads();
            if (threadIdx.x == kOddPairs || sample >= a.samples)
            {
                return;
            }
            value = make_float2(value.y, firsts[threadIdx.x + 1]);
        }
        if (a.samples % 2 == 0)
        {
            *reinterpret_cast<float2*>(out) = value;
            return;
        }
        out[0] = value.x;
        if (sample + 1 < a.samples)
        {
            out[1] = value.y;
        }
    }
}

int tiles(int size, int tile)
{
    return (size + tile - 1) / tile;
}

} // namespace

template <typename Value>
cudaError_t launchMasking(MaskingArguments<Value> arguments, std::int64_t items, cudaStream_t stream)
{
    arguments.frame_tiles = tiles(arguments.frames, kTileFrames);
    std::int64_t const blocks = std::int64_t{arguments.frame_tiles} * tiles(arguments.bins, kTileBins);
    if (blocks > kMaximumRows)
    {
        return cudaErrorInvalidConfiguration;
    }
    dim3 const grid(static_cast<unsigned>(blocks), static_cast<unsigned>(items));
    return launch(&maskingKernel<Value>, grid, dim3(kThreads), stream, arguments);
}

template cudaError_t launchMasking(MaskingArguments<float>, std::int64_t, cudaStream_t);
template cudaError_t launchMasking(MaskingArguments<__half>, std::int64_t, cudaStream_t);

template <Pairing Kind>
cudaError_t launchOverlapAddAs(OverlapAddArguments const& arguments, std::int64_t items, cudaStream_t stream)
{
    constexpr int kSamples = Kind == Pairing::kNone ? kThreads : Kind == Pairing::kEven ? 2 * kThreads : 2 * kOddPairs;
    dim3 const grid(static_cast<unsigned>(tiles(arguments.samples, kSamples)), static_cast<unsigned>(items));
    return launch(&overlapAddKernel<Kind>, grid, dim3(kThreads), stream, arguments);
}

cudaError_t launchOverlapAdd(OverlapAddArguments const& arguments, std::int64_t items, cudaStream_t stream)
{
    if (arguments.hop_length % 2 != 0 || arguments.n_fft % 2 != 0)
    {
        return launchOverlapAddAs<Pairing::kNone>(arguments, items, stream);
    }
    return arguments.n_fft / 2 % 2 == 0 ? launchOverlapAddAs<Pairing::kEven>(arguments, items, stream)
                                        : launchOverlapAddAs<Pairing::kOdd>(arguments, items, stream);
}

cudaError_t loadIstftKernels()
{
    for (cudaError_t const error : {load(&maskingKernel<float>), load(&maskingKernel<__half>),
             load(&overlapAddKernel<Pairing::kNone>), load(&overlapAddKernel<Pairing::kEven>),
             load(&overlapAddKernel<Pairing::kOdd>)})
    {
        if (error != cudaSuccess)
        {
            return error;
        }
    }
    return cudaSuccess;
}

} // namespace sgn
