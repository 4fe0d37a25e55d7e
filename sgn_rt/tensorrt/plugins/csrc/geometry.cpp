#include "geometry.h"

#include <algorithm>

namespace sgn
{
namespace
{

// cuFFT factors lengths with primes up to 127; other lengths go through Bluestein's algorithm.
constexpr std::int32_t kLargestFactor = 127;

bool factors(std::int32_t length) noexcept
{
    for (std::int32_t prime = 2; prime <= kLargestFactor; ++prime)
    {
        while (length % prime == 0)
        {
            length /= prime;
        }
    }
    return length == 1;
}

} // namespace

std::size_t fftWorkBytesPerRow(std::int32_t n_fft) noexcept
{
    constexpr std::size_t kComplexBytes = 2 * sizeof(float);
    if (factors(n_fft))
    {
        return kComplexBytes * static_cast<std::size_t>(n_fft);
    }
    std::size_t padded = 1;
    while (padded < 2 * static_cast<std::size_t>(n_fft))
    {
        padded *= 2;
    }
    return 2 * kComplexBytes * padded;
}

std::size_t fftWorkBytes(StftGeometry const& geometry, std::int64_t rows) noexcept
{
    return aligned(kFftWorkBytesFixed + fftWorkBytesPerRow(geometry.n_fft) * static_cast<std::size_t>(rows));
}

std::int64_t chunkCapacity(StftGeometry const& geometry, std::int64_t rows_per_item, std::int64_t cache_bytes) noexcept
{
    auto const row_bytes = static_cast<std::int64_t>(geometry.rowBytes() + fftWorkBytesPerRow(geometry.n_fft));
    std::int64_t const bound = std::max<std::int64_t>(1, kChunkBytes / row_bytes);
    std::int64_t const cached = cache_bytes / row_bytes;
    std::int64_t const rows = cached >= kRowsAtLeast ? std::min(cached, bound) : bound;
    return std::clamp<std::int64_t>(rows / std::max<std::int64_t>(1, rows_per_item), 1, kMaximumItems);
}

Chunks chunksOf(std::int64_t items, std::int64_t capacity) noexcept
{
    if (items <= 0)
    {
        return {0, 0, 0};
    }
    std::int64_t const count = (items + capacity - 1) / capacity;
    std::int64_t const size = (items + count - 1) / count;
    return {items, size, (items + size - 1) / size};
}

} // namespace sgn
