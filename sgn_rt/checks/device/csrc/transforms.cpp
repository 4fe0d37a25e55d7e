// The steps of both plugins behind plain C functions, one by one and without TensorRT: to be checked and timed on a
// machine that has none. Bound by ../transforms.py. A function returns 0, or leaves its reason for sgn_check_reason().
#include "device_api.h"
#include "elementwise.h"
#include "fft_plan.h"
#include "geometry.h"
#include "kernels.h"
#include "status.h"
#include "tables.h"

#include <cuda_fp16.h>

#include <cstdint>
#include <string>
#include <vector>

#define SGN_CHECK_EXPORT extern "C" __attribute__((visibility("default")))

namespace
{

using namespace sgn;

std::string reason;

void keepReason(char const* message)
{
    reason = message;
}

template <typename Body>
std::int32_t told(char const* where, Body&& body)
{
    setMessageSink(&keepReason);
    return guarded(where, body) ? 0 : 1;
}

template <typename Value>
DeviceBuffer onDevice(std::vector<Value> const& values)
{
    DeviceBuffer buffer(values.size() * sizeof(Value));
    checkDevice(deviceApi().upload(buffer.get(), values.data(), values.size() * sizeof(Value)), "upload of tables");
    return buffer;
}

struct Transforms
{
    Transforms(StftGeometry const& its_geometry, std::int32_t its_log_bins)
        : geometry(its_geometry)
        , log_bins(its_log_bins)
        , window(onDevice(windowTable(its_geometry)))
        , log_taps(onDevice(logFromLinearTaps(its_geometry.bins(), its_log_bins)))
        , linear_taps(onDevice(linearFromLogTaps(its_geometry.bins(), its_log_bins)))
        , forward(its_geometry, FftDirection::kRealToComplex)
        , inverse(its_geometry, FftDirection::kComplexToReal)
    {
    }

    StftGeometry geometry;
    std::int32_t log_bins;
    DeviceBuffer window;
    DeviceBuffer log_taps;
    DeviceBuffer linear_taps;
    FftPlans forward;
    FftPlans inverse;
};

template <typename Value>
Value* at(std::uint64_t address)
{
    return reinterpret_cast<Value*>(static_cast<std::uintptr_t>(address));
}

cudaStream_t on(std::uint64_t stream)
{
    return at<CUstream_st>(stream);
}

template <typename Value>
void storeLogMagnitude(Transforms const& self, std::uint64_t spectrum, std::uint64_t out, std::int64_t batch,
    std::int64_t frames, float epsilon, cudaStream_t stream)
{
    LogMagnitudeArguments<Value> arguments{};
    arguments.spectrum = at<float2 const>(spectrum);
    arguments.taps = static_cast<FrequencyTap const*>(self.log_taps.get());
    arguments.log_magnitude = at<Value>(out);
    arguments.epsilon = epsilon;
    arguments.bins = self.geometry.bins();
    arguments.log_bins = self.log_bins;
    arguments.frames = static_cast<int>(frames);
    checkDevice(launchLogMagnitude(arguments, batch, stream), "log-magnitude kernel");
}

template <typename Value>
void mask(Transforms const& self, std::uint64_t spectrum, std::uint64_t masks, std::uint64_t rows, std::int64_t first,
    std::int64_t items, std::int64_t sources, std::int64_t frames, cudaStream_t stream)
{
    MaskingArguments<Value> arguments{};
    arguments.spectrum = at<float2 const>(spectrum);
    arguments.masks = at<Value const>(masks);
    arguments.taps = static_cast<FrequencyTap const*>(self.linear_taps.get());
    arguments.rows = at<float2>(rows);
    arguments.first_item = static_cast<int>(first);
    arguments.sources = static_cast<int>(sources);
    arguments.bins = self.geometry.bins();
    arguments.log_bins = self.log_bins;
    arguments.frames = static_cast<int>(frames);
    arguments.real_last_bin = self.geometry.n_fft % 2 == 0 ? self.geometry.bins() - 1 : -1;
    checkDevice(launchMasking(arguments, items, stream), "masking kernel");
}

} // namespace

SGN_CHECK_EXPORT char const* sgn_check_reason()
{
    return reason.c_str();
}

SGN_CHECK_EXPORT Transforms* sgn_check_open(std::int32_t n_fft, std::int32_t hop_length, std::int32_t log_bins)
{
    Transforms* made = nullptr;
    told("transforms", [&] {
        checkDevice(loadStftKernels(), "kernels of Stft");
        checkDevice(loadIstftKernels(), "kernels of Istft");
        made = new Transforms(StftGeometry{n_fft, hop_length, n_fft}, log_bins);
    });
    return made;
}

SGN_CHECK_EXPORT void sgn_check_close(Transforms* self)
{
    delete self;
}

// Bytes that the plugins reserve for a plan of that many rows.
SGN_CHECK_EXPORT std::int64_t sgn_check_work_bytes(Transforms const* self, std::int64_t rows)
{
    return static_cast<std::int64_t>(fftWorkBytes(self->geometry, rows));
}

// Items of the inverse transform that the plugins work off at once on this device.
SGN_CHECK_EXPORT std::int64_t sgn_check_chunk(Transforms const* self, std::int64_t frames)
{
    std::int64_t cache_bytes = 0;
    told("size of the device's cache", [&] { checkDevice(deviceApi().cacheBytes(&cache_bytes), "cache"); });
    return chunkCapacity(self->geometry, frames, cache_bytes);
}

SGN_CHECK_EXPORT std::int32_t sgn_check_plan(Transforms* self, std::int32_t is_inverse, std::int64_t rows)
{
    return told("FFT plan", [&] { (is_inverse != 0 ? self->inverse : self->forward).prepare(rows); });
}

SGN_CHECK_EXPORT std::int32_t sgn_check_fft(Transforms const* self, std::int32_t is_inverse, std::uint64_t rows,
    std::int64_t count, std::uint64_t work, std::uint64_t stream)
{
    return told("FFT", [&] {
        (is_inverse != 0 ? self->inverse : self->forward).at(count).execute(at<float>(rows), at<void>(work), on(stream));
    });
}

SGN_CHECK_EXPORT std::int32_t sgn_check_framing(Transforms const* self, std::uint64_t mixture, std::uint64_t rows,
    std::int64_t batch, std::int64_t samples, std::uint64_t stream)
{
    return told("framing", [&] {
        std::int64_t const frames = self->geometry.frames(samples);
        FramingArguments arguments{};
        arguments.mixture = at<float const>(mixture);
        arguments.window = static_cast<float const*>(self->window.get());
        arguments.rows = at<float>(rows);
        arguments.samples = static_cast<int>(samples);
        arguments.frames = static_cast<int>(frames);
        arguments.hop_length = self->geometry.hop_length;
        arguments.padding = self->geometry.padding();
        arguments.pairs = self->geometry.bins();
        checkDevice(launchFraming(arguments, batch * frames, on(stream)), "framing kernel");
    });
}

SGN_CHECK_EXPORT std::int32_t sgn_check_log_magnitude(Transforms const* self, std::int32_t is_half,
    std::uint64_t spectrum, std::uint64_t out, std::int64_t batch, std::int64_t frames, float epsilon,
    std::uint64_t stream)
{
    return told("log magnitude", [&] {
        (is_half != 0 ? storeLogMagnitude<__half> : storeLogMagnitude<float>)(
            *self, spectrum, out, batch, frames, epsilon, on(stream));
    });
}

// Of all items, which are batch times sources, those of one chunk.
SGN_CHECK_EXPORT std::int32_t sgn_check_masking(Transforms const* self, std::int32_t is_half, std::uint64_t spectrum,
    std::uint64_t masks, std::uint64_t rows, std::int64_t first, std::int64_t items, std::int64_t sources,
    std::int64_t frames, std::uint64_t stream)
{
    return told("masking", [&] {
        (is_half != 0 ? mask<__half> : mask<float>)(
            *self, spectrum, masks, rows, first, items, sources, frames, on(stream));
    });
}

SGN_CHECK_EXPORT std::int32_t sgn_check_overlap_add(Transforms const* self, std::uint64_t rows, std::uint64_t out,
    std::int64_t first, std::int64_t items, std::int64_t samples, std::uint64_t stream)
{
    return told("overlap-add", [&] {
        OverlapAddArguments arguments{};
        arguments.rows = at<float const>(rows);
        arguments.window = static_cast<float const*>(self->window.get());
        arguments.sources = at<float>(out);
        arguments.first_item = static_cast<int>(first);
        arguments.samples = static_cast<int>(samples);
        arguments.frames = static_cast<int>(self->geometry.frames(samples));
        arguments.n_fft = self->geometry.n_fft;
        arguments.hop_length = self->geometry.hop_length;
        arguments.row_floats = self->geometry.rowFloats();
        checkDevice(launchOverlapAdd(arguments, items, on(stream)), "overlap-add kernel");
    });
}
