#include "interface.h"

#include "device_api.h"
#include "fft_plan.h"
#include "geometry.h"
#include "kernels.h"

#include <cstddef>

namespace
{

template <typename Value>
Value* at(std::uint64_t address)
{
    return reinterpret_cast<Value*>(static_cast<std::uintptr_t>(address));
}

bool multiple(std::uint64_t number, std::uint64_t of)
{
    return number % of == 0;
}

} // namespace

extern "C" char const* sgn_rt_status_text(std::int32_t status)
{
    return sgn::deviceApi().describe(static_cast<cudaError_t>(status));
}

extern "C" void sgn_rt_fft_work(std::int64_t* rows, std::int64_t* reserved_bytes, std::int64_t* wanted_bytes)
{
    sgn::FftWork const most = sgn::mostFftWork();
    *rows = most.rows;
    *reserved_bytes = most.reserved_bytes;
    *wanted_bytes = most.wanted_bytes;
}

extern "C" std::int32_t sgn_rt_load_kernels()
{
    cudaError_t const finish = sgn::loadFinishKernels();
    return finish != cudaSuccess ? finish : sgn::loadResampleKernels();
}

extern "C" std::int32_t sgn_rt_finish(std::uint64_t sources, std::uint64_t windows, std::uint64_t categories,
    std::uint64_t out, std::uint64_t flags, std::int64_t batch, std::int64_t source_count, std::int64_t samples,
    std::int64_t count, std::int32_t format, std::uint64_t stream)
{
    using sgn::SampleFormat;
    bool const sizes = batch >= 0 && batch <= sgn::kMaximumRows && source_count >= 0
        && source_count <= sgn::kMaximumRows && samples > 0 && samples <= sgn::kMaximumSamples && count > 0
        && count <= samples && format >= 0 && format <= static_cast<std::int32_t>(SampleFormat::kDitheredInt16);
    auto const kind = static_cast<SampleFormat>(format);
    std::uint64_t const width = kind == SampleFormat::kFloat32 ? sizeof(float) : sizeof(std::int16_t);
    if (!sizes || !multiple(sources, sizeof(float)) || !multiple(windows | categories, sizeof(std::int64_t))
        || !multiple(out, width) || !multiple(flags, sizeof(std::int32_t)))
    {
        return cudaErrorInvalidValue;
    }
    if (batch == 0)
    {
        return cudaSuccess;
    }
    auto* const on = at<CUstream_st>(stream);
    std::size_t const flag_bytes = sizeof(std::int32_t) * static_cast<std::size_t>(batch);
    cudaError_t const cleared = sgn::deviceApi().clear(at<void>(flags), flag_bytes, on);
    if (cleared != cudaSuccess || source_count == 0)
    {
        return cleared;
    }
    sgn::FinishArguments arguments{};
    arguments.sources = at<float const>(sources);
    arguments.windows = at<sgn::WindowPart const>(windows);
    arguments.categories = at<std::int64_t const>(categories);
    arguments.out = at<void>(out);
    arguments.flags = at<std::int32_t>(flags);
    arguments.source_count = static_cast<int>(source_count);
    arguments.samples = static_cast<int>(samples);
    arguments.count = static_cast<int>(count);
    arguments.aligned_sources = multiple(sources, 4 * sizeof(float)) && samples % 4 == 0;
    arguments.aligned_out = multiple(out, 4 * width) && count % 4 == 0;
    return sgn::launchFinish(arguments, kind, batch, on);
}

extern "C" std::int32_t sgn_rt_resample(std::uint64_t source, std::uint64_t spans, std::uint64_t out,
    std::uint64_t coefficients, std::uint64_t places, std::int64_t batch, std::int64_t rows, std::int64_t samples,
    std::int64_t count, std::int32_t up, std::int32_t down, std::int32_t taps, std::int32_t columns,
    std::int32_t interpolated, std::uint64_t stream)
{
    constexpr std::int32_t kLargestRate = 1 << 20;
    bool const filter = up > 0 && up < kLargestRate && down > 0 && down < kLargestRate && taps > 0
        && taps <= sgn::kMaximumSize && columns > (interpolated != 0 ? 1 : 0);
    bool const sizes = batch >= 0 && batch <= sgn::kMaximumRows && rows >= 0 && rows <= sgn::kMaximumRows
        && samples >= 0 && samples <= sgn::kMaximumSamples && count >= 0 && count <= sgn::kMaximumSamples;
    // Places in the source are 32-bit numbers.
    if (!filter || !sizes || (count / up + 1) * down > sgn::kMaximumSamples
        || !multiple(source | out | coefficients, sizeof(float)) || !multiple(spans, sizeof(std::int32_t))
        || !multiple(places, sizeof(sgn::PolyphasePlace)))
    {
        return cudaErrorInvalidValue;
    }
    if (batch == 0 || rows == 0 || count == 0)
    {
        return cudaSuccess;
    }
    sgn::ResampleArguments arguments{};
    arguments.source = at<float const>(source);
    arguments.spans = at<sgn::ResampleSpan const>(spans);
    arguments.out = at<float>(out);
    arguments.coefficients = at<float const>(coefficients);
    arguments.places = at<sgn::PolyphasePlace const>(places);
    arguments.rows = static_cast<int>(rows);
    arguments.samples = static_cast<int>(samples);
    arguments.count = static_cast<int>(count);
    arguments.up = up;
    arguments.down = down;
    arguments.taps = taps;
    arguments.columns = columns;
    return sgn::launchResample(arguments, interpolated != 0, batch, at<CUstream_st>(stream));
}
