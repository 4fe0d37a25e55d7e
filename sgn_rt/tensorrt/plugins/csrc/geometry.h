// Shape arithmetic of the short-time Fourier transform; the only place that has it in C++.
#pragma once

#include <cstddef>
#include <cstdint>

namespace sgn
{

constexpr std::int32_t kMaximumSize = 1 << 24;
constexpr std::int64_t kMaximumSamples = std::int64_t{1} << 30;
constexpr std::int64_t kMaximumRows = (std::int64_t{1} << 31) - 1; // of an int, and of gridDim.x
constexpr std::int64_t kMaximumItems = 65535; // gridDim.y
constexpr std::int64_t kMaximumBatch = kMaximumItems;

// Scratch that one call uses at most, unless a single item needs more: batch and number of sources are worked off
// in chunks, which bounds memory whatever is asked for. Tests make it small.
#ifndef SGN_RT_CHUNK_BYTES
#define SGN_RT_CHUNK_BYTES (std::int64_t{128} << 20)
#endif
constexpr std::int64_t kChunkBytes = SGN_RT_CHUNK_BYTES;

struct StftGeometry
{
    std::int32_t n_fft;
    std::int32_t hop_length;
    std::int32_t window_length; // Hann, periodic, centred in the frame of n_fft samples

    constexpr std::int32_t bins() const noexcept
    {
        return n_fft / 2 + 1;
    }
    // A frame is transformed in place: n_fft samples, then room for the spectrum's last bin.
    constexpr std::int32_t rowFloats() const noexcept
    {
        return 2 * bins();
    }
    constexpr std::int32_t padding() const noexcept
    {
        return n_fft / 2;
    }
    // Frames of a centred transform of that many samples.
    constexpr std::int64_t frames(std::int64_t samples) const noexcept
    {
        return (samples + 2 * std::int64_t{padding()} - n_fft) / hop_length + 1;
    }
    constexpr std::size_t rowBytes() const noexcept
    {
        return sizeof(float) * static_cast<std::size_t>(rowFloats());
    }
};

// Upper estimate of cuFFT's work area per row. Analytic, because cuFFT cannot be asked where an engine is built
// without a GPU; a plan that needs more brings its own memory.
std::size_t fftWorkBytesPerRow(std::int32_t n_fft) noexcept;
constexpr std::size_t kFftWorkBytesFixed = std::size_t{1} << 20;

// Work area reserved for a plan of that many rows.
std::size_t fftWorkBytes(StftGeometry const& geometry, std::int64_t rows) noexcept;

// Rows that keep the multiprocessors of any GPU busy: where fewer fit in its cache, memory is the lesser evil.
constexpr std::int64_t kRowsAtLeast = 2048;

// Largest number of items (of rows_per_item rows each) worked off at once, at least 1: what stays in a cache of that
// many bytes from one kernel to the next, and never more than kChunkBytes, which is all that a size of 0 asks for.
std::int64_t chunkCapacity(
    StftGeometry const& geometry, std::int64_t rows_per_item, std::int64_t cache_bytes) noexcept;

// Equal chunks covering 0 .. items. The last one is moved back rather than cut short, so that a single FFT plan
// serves all; items met twice get the same bits twice.
struct Chunks
{
    std::int64_t items;
    std::int64_t size;
    std::int64_t count;

    constexpr std::int64_t first(std::int64_t index) const noexcept
    {
        return index * size + size <= items ? index * size : items - size;
    }
};

Chunks chunksOf(std::int64_t items, std::int64_t capacity) noexcept;

// Start of the next part of a workspace; TensorRT and cuFFT align to 256 bytes.
constexpr std::size_t aligned(std::size_t bytes) noexcept
{
    return (bytes + 255) / 256 * 256;
}

} // namespace sgn
