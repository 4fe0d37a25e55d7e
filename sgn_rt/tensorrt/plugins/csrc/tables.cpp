#include "tables.h"

#include <algorithm>
#include <cmath>

namespace sgn
{
namespace
{

constexpr double kPi = 3.141592653589793238462643383279502884;

// y in [-1, 1] of the log axis lies at (21^((y + 1) / 2) - 11) / 10 of the linear one.
constexpr double kLogAxisBase = 21.0;

double axis(std::int32_t index, std::int32_t size)
{
    return -1.0 + 2.0 * index / (size - 1);
}

// The two neighbours of a position in [-1, 1] on an axis of that many values, ends aligned.
FrequencyTap tapAt(double position, std::int32_t size)
{
    double const scaled = (std::clamp(position, -1.0, 1.0) + 1.0) / 2.0 * (size - 1);
    auto const low = std::clamp(static_cast<std::int32_t>(std::floor(scaled)), 0, size - 2);
    double const weight = scaled - low;
    return {low, static_cast<float>(1.0 - weight), static_cast<float>(weight), 0};
}

} // namespace

std::vector<float> windowTable(StftGeometry const& geometry)
{
    std::vector<float> window(static_cast<std::size_t>(geometry.rowFloats()), 0.0F);
    std::int32_t const first = (geometry.n_fft - geometry.window_length) / 2;
    for (std::int32_t i = 0; i < geometry.window_length; ++i)
    {
        double const phase = 2.0 * kPi * i / geometry.window_length;
        window[static_cast<std::size_t>(first + i)] = static_cast<float>(0.5 - 0.5 * std::cos(phase));
    }
    return window;
}

std::vector<FrequencyTap> logFromLinearTaps(std::int32_t bins, std::int32_t log_bins)
{
    std::vector<FrequencyTap> taps;
    taps.reserve(static_cast<std::size_t>(log_bins));
    for (std::int32_t i = 0; i < log_bins; ++i)
    {
        double const position = (std::pow(kLogAxisBase, (axis(i, log_bins) + 1.0) / 2.0) - 11.0) / 10.0;
        taps.push_back(tapAt(position, bins));
    }
    return taps;
}

std::vector<FrequencyTap> linearFromLogTaps(std::int32_t bins, std::int32_t log_bins)
{
    std::vector<FrequencyTap> taps;
    taps.reserve(static_cast<std::size_t>(bins));
    for (std::int32_t i = 0; i < bins; ++i)
    {
        double const position = std::log(10.0 * axis(i, bins) + 11.0) / std::log(kLogAxisBase) * 2.0 - 1.0;
        taps.push_back(tapAt(position, log_bins));
    }
    return taps;
}

} // namespace sgn
