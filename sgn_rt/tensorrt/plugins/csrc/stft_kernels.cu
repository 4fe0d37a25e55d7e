// Forward transform: framing (reflection and window fused into the gather) and log-magnitude (magnitude, frequency
// warp and logarithm fused into the transposing store). The FFT between them works in place.
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

// One thread per pair of samples: rows start at even offsets, so that pairs store as float2.
__global__ void __launch_bounds__(kThreads) framingKernel(FramingArguments a)
{
    int const pair = static_cast<int>(blockIdx.y) * kThreads + static_cast<int>(threadIdx.x);
    if (pair >= a.pairs)
    {
        return;
    }
    int const row = a.first_row + static_cast<int>(blockIdx.x);
    int const batch = row / a.frames;
    int const frame = row - batch * a.frames;
    float const* const mixture = a.mixture + std::int64_t{batch} * a.samples;
    float2 const window = reinterpret_cast<float2 const*>(a.window)[pair];
    int const position = frame * a.hop_length - a.padding + 2 * pair;
    // The pair beyond n_fft, which no transform reads, may lie further than one reflection reaches.
    int const first = reflected(position, a.samples);
    int const second = reflected(position + 1, a.samples);
    float2 const value
        = make_float2(first < 0 ? 0.0F : window.x * mixture[first], second < 0 ? 0.0F : window.y * mixture[second]);
    reinterpret_cast<float2*>(a.rows)[std::int64_t{row} * a.pairs + pair] = value;
}

constexpr int kTileBins = kLanes;
constexpr int kTileFrames = 2 * kLanes;

// A tile of log bins x frames per block. Reads run along frequency, where the spectrum is contiguous and neighbouring
// log bins share or adjoin their taps; stores run along time, where the network's input is. Odd row length of the tile:
// neither side collides on one shared-memory bank more than twice.
template <typename Value>
__global__ void __launch_bounds__(kThreads) logMagnitudeKernel(LogMagnitudeArguments<Value> a)
{
    __shared__ float tile[kTileBins][kTileFrames + 1];
    int const lane = static_cast<int>(threadIdx.x) % kLanes;
    int const group = static_cast<int>(threadIdx.x) / kLanes;
    int const first_frame = static_cast<int>(blockIdx.x) % a.frame_tiles * kTileFrames;
    int const first_bin = static_cast<int>(blockIdx.x) / a.frame_tiles * kTileBins;
    std::int64_t const batch = blockIdx.y;

    if (first_bin + lane < a.log_bins)
    {
        FrequencyTap const tap = a.taps[first_bin + lane];
        float2 const* const column = a.spectrum + (batch * a.frames + first_frame) * a.bins + tap.low;
        // Frames beyond the last repeat it, and all are read before any is stored: no condition and no store keeps
        // the reads from overlapping.
        float value[kTileFrames / kGroups];
        SGN_UNROLL
        for (int i = 0; i < kTileFrames / kGroups; ++i)
        {
            int const frame = min(i * kGroups + group, a.frames - 1 - first_frame);
            float2 const* const low = column + static_cast<std::int64_t>(frame) * a.bins;
            value[i] = logMagnitude(tap, low[0], low[1], a.epsilon);
        }
        SGN_UNROLL
        for (int i = 0; i < kTileFrames / kGroups; ++i)
        {
            tile[lane][i * kGroups + group] = value[i];
        }
    }
    __syncthreads();

    int const frame = 2 * lane;
    bool const paired = a.frames % 2 == 0; // else every other row starts between pairs
    SGN_UNROLL
    for (int i = 0; i < kTileBins / kGroups; ++i)
    {
        int const bin = i * kGroups + group;
        if (first_bin + bin >= a.log_bins || first_frame + frame >= a.frames)
        {
            continue;
        }
        Value* const out = a.log_magnitude + (batch * a.log_bins + first_bin + bin) * a.frames + first_frame + frame;
        if (paired)
        {
            using Pair = typename Stored<Value>::Pair;
            *reinterpret_cast<Pair*>(out) = Stored<Value>::from(tile[bin][frame], tile[bin][frame + 1]);
            continue;
        }
        out[0] = Stored<Value>::from(tile[bin][frame]);
        if (first_frame + frame + 1 < a.frames)
        {
            out[1] = Stored<Value>::from(tile[bin][frame + 1]);
        }
    }
}

int tiles(int size, int tile)
{
    return (size + tile - 1) / tile;
}

} // namespace

cudaError_t launchFraming(FramingArguments const& arguments, std::int64_t rows, cudaStream_t stream)
{
    dim3 const grid(static_cast<unsigned>(rows), static_cast<unsigned>(tiles(arguments.pairs, kThreads)));
    return launch(&framingKernel, grid, dim3(kThreads), stream, arguments);
}

template <typename Value>
cudaError_t launchLogMagnitude(LogMagnitudeArguments<Value> arguments, std::int64_t batch, cudaStream_t stream)
{
    arguments.frame_tiles = tiles(arguments.frames, kTileFrames);
    std::int64_t const blocks = std::int64_t{arguments.frame_tiles} * tiles(arguments.log_bins, kTileBins);
    if (blocks > kMaximumRows)
    {
        return cudaErrorInvalidConfiguration;
    }
    dim3 const grid(static_cast<unsigned>(blocks), static_cast<unsigned>(batch));
    return launch(&logMagnitudeKernel<Value>, grid, dim3(kThreads), stream, arguments);
}

cudaError_t loadStftKernels()
{
    for (cudaError_t const error :
        {load(&framingKernel), load(&logMagnitudeKernel<float>), load(&logMagnitudeKernel<__half>)})
    {
        if (error != cudaSuccess)
        {
            return error;
        }
    }
    return cudaSuccess;
}

template cudaError_t launchLogMagnitude(LogMagnitudeArguments<float>, std::int64_t, cudaStream_t);
template cudaError_t launchLogMagnitude(LogMagnitudeArguments<__half>, std::int64_t, cudaStream_t);

} // namespace sgn
