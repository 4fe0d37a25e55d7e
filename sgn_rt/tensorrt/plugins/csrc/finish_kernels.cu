// What follows the inverse transform: the part that is heard, in the format wanted, and whether all is finite.
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
constexpr int kWidth = 4; // samples per thread

// A float32 sample in a format, and the noise that is added before.
template <SampleFormat Format>
struct Finished;

template <>
struct Finished<SampleFormat::kFloat32>
{
    using Sample = float;
    static constexpr bool kDithered = false;
    static SGN_HOST_DEVICE float from(float value, float /*noise*/)
    {
        return value;
    }
};

template <>
struct Finished<SampleFormat::kFloat16>
{
    using Sample = __half;
    static constexpr bool kDithered = false;
    static SGN_HOST_DEVICE __half from(float value, float /*noise*/)
    {
        constexpr float kLargest = 65504.0F; // beyond it is infinity, and then what is cross-faded with it
        return __float2half_rn(fminf(fmaxf(value, -kLargest), kLargest));
    }
};

template <>
struct Finished<SampleFormat::kInt16>
{
    using Sample = std::int16_t;
    static constexpr bool kDithered = false;
    static SGN_HOST_DEVICE std::int16_t from(float value, float noise)
    {
        return quantised(value, noise);
    }
};

template <>
struct Finished<SampleFormat::kDitheredInt16> : Finished<SampleFormat::kInt16>
{
    static constexpr bool kDithered = true;
};

template <typename Sample>
struct alignas(kWidth * sizeof(Sample)) Four // one load or store
{
    Sample value[kWidth];
};

// Four neighbouring samples per thread, counted from the part's first: stores of the part are aligned whatever its
// place, loads where it allows.
template <SampleFormat Format>
__global__ void __launch_bounds__(kThreads) finishKernel(FinishArguments a)
{
    using Out = Finished<Format>;
    using Sample = typename Out::Sample;
    int const row = static_cast<int>(blockIdx.x) / a.tiles;
    int const tile = static_cast<int>(blockIdx.x) - row * a.tiles;
    int const window = row / a.source_count;
    WindowPart const part = a.windows[window];
    int const start = clamped(part.start, a.samples - a.count);
    int const before = (kWidth - start % kWidth) % kWidth; // the first four may begin before the window
    int const first = (tile * kThreads + static_cast<int>(threadIdx.x)) * kWidth - before;
    if (first >= a.samples)
    {
        return;
    }
    float const* const source = a.sources + std::int64_t{row} * a.samples;
    Four<float> four{};
    if (a.aligned_sources && before == 0)
    {
        four = *reinterpret_cast<Four<float> const*>(source + first);
    }
    else
    {
        SGN_UNROLL
        for (int i = 0; i < kWidth; ++i)
        {
            four.value[i] = first + i >= 0 && first + i < a.samples ? source[first + i] : 0.0F;
        }
    }
    if (!(finite(four.value[0]) && finite(four.value[1]) && finite(four.value[2]) && finite(four.value[3])))
    {
        a.flags[window] = 1; // by however many threads: one value
    }
    int const place = first - start;
    if (place < 0 || place >= a.count)
    {
        return;
    }
    std::uint64_t key = 0;
    if (Out::kDithered)
    {
        std::int64_t const place_in_call = row - window * a.source_count;
        std::int64_t const owner = a.categories != nullptr ? a.categories[place_in_call] : place_in_call;
        key = mixed(mixed(part.seed) + static_cast<std::uint64_t>(owner));
    }
    Four<Sample> result{};
    SGN_UNROLL
    for (int i = 0; i < kWidth; ++i)
    {
        float const noise = Out::kDithered ? triangularNoise(key, part.position + first + i) : 0.0F;
        result.value[i] = Out::from(four.value[i] * part.gain, noise);
    }
    Sample* const out = static_cast<Sample*>(a.out) + std::int64_t{row} * a.count + place;
    if (a.aligned_out)
    {
        *reinterpret_cast<Four<Sample>*>(out) = result;
        return;
    }
    SGN_UNROLL
    for (int i = 0; i < kWidth; ++i)
    {
        if (place + i < a.count)
        {
            out[i] = result.value[i];
        }
    }
}

void (*kernelFor(SampleFormat format))(FinishArguments)
{
    switch (format)
    {
    case SampleFormat::kFloat32: return &finishKernel<SampleFormat::kFloat32>;
    case SampleFormat::kFloat16: return &finishKernel<SampleFormat::kFloat16>;
    case SampleFormat::kInt16: return &finishKernel<SampleFormat::kInt16>;
    case SampleFormat::kDitheredInt16: return &finishKernel<SampleFormat::kDitheredInt16>;
    }
    return nullptr;
}

} // namespace

cudaError_t launchFinish(FinishArguments arguments, SampleFormat format, std::int64_t batch, cudaStream_t stream)
{
    // Fours of a window, and one more where the part's do not begin with the window's.
    constexpr int kTile = kThreads * kWidth;
    arguments.tiles = (arguments.samples + kWidth - 1 + kTile - 1) / kTile;
    std::int64_t const rows = batch * arguments.source_count;
    if (rows > kMaximumRows / arguments.tiles)
    {
        return cudaErrorInvalidConfiguration;
    }
    dim3 const grid(static_cast<unsigned>(rows * arguments.tiles));
    return launch(kernelFor(format), grid, dim3(kThreads), stream, arguments);
}

cudaError_t loadFinishKernels()
{
    for (SampleFormat const format :
        {SampleFormat::kFloat32, SampleFormat::kFloat16, SampleFormat::kInt16, SampleFormat::kDitheredInt16})
    {
        if (cudaError_t const error = load(kernelFor(format)); error != cudaSuccess)
        {
            return error;
        }
    }
    return cudaSuccess;
}

} // namespace sgn
