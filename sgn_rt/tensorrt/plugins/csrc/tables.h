// Constant tables of the two operations, computed on the host in double precision.
#pragma once

#include "elementwise.h"
#include "geometry.h"

#include <cstdint>
#include <vector>

namespace sgn
{

// Periodic Hann window centred in the frame, n_fft values padded with zero to rowFloats().
std::vector<float> windowTable(StftGeometry const& geometry);

// Log axis (log_bins values) from the linear one (bins). Source: MODEL step 2.
std::vector<FrequencyTap> logFromLinearTaps(std::int32_t bins, std::int32_t log_bins);

// Linear axis (bins values) from the log one (log_bins). Source: MODEL step 10.
std::vector<FrequencyTap> linearFromLogTaps(std::int32_t bins, std::int32_t log_bins);

} // namespace sgn
