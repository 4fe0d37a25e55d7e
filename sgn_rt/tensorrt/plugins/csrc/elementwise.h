// The arithmetic of single elements, for device and host alike.
#pragma once

#include <cuda_fp16.h>
#include <cuda_runtime_api.h>

#include <cmath>
#include <cstdint>

#define SGN_HOST_DEVICE __host__ __device__ __forceinline__

namespace sgn
{

// Two neighbours on the other frequency axis and their weights; 16 bytes, so that one load fetches all.
struct alignas(16) FrequencyTap
{
    int low;
    float low_weight;
    float high_weight;
    int unused;
};

// Position in a signal of that many samples continued by reflection; at most one reflection, as padding < samples.
SGN_HOST_DEVICE int reflected(int position, int samples)
{
    if (position < 0)
    {
        return -position;
    }
    return position < samples ? position : 2 * (samples - 1) - position;
}

// Squares stay in range: full scale gives magnitudes up to n_fft / 2, and below 1e-19 the epsilon alone counts.
SGN_HOST_DEVICE float magnitude(float2 value)
{
    return sqrtf(value.x * value.x + value.y * value.y);
}

SGN_HOST_DEVICE float interpolated(FrequencyTap const& tap, float low, float high)
{
    return tap.low_weight * low + tap.high_weight * high;
}

SGN_HOST_DEVICE float logMagnitude(FrequencyTap const& tap, float2 low, float2 high, float epsilon)
{
    return logf(interpolated(tap, magnitude(low), magnitude(high)) + epsilon);
}

// A bin of a masked spectrum. The inverse real transform wants the first bin, and the last of an even length, real:
// cuFFT's result is undefined otherwise, where torch.istft ignores the imaginary part.
SGN_HOST_DEVICE float2 masked(float2 value, float mask, bool real)
{
    return make_float2(value.x * mask, real ? 0.0F : value.y * mask);
}

// First and last frame whose n_fft samples contain a position of the padded signal.
SGN_HOST_DEVICE int firstFrame(int position, int n_fft, int hop_length)
{
    int const beyond = position - n_fft;
    return beyond < 0 ? 0 : beyond / hop_length + 1;
}

SGN_HOST_DEVICE int lastFrame(int position, int frames, int hop_length)
{
    int const last = position / hop_length;
    return last < frames ? last : frames - 1;
}

SGN_HOST_DEVICE int clamped(int value, int largest)
{
    return value < 0 ? 0 : value < largest ? value : largest;
}

SGN_HOST_DEVICE bool finite(float value)
{
    return fabsf(value) <= 3.402823466e+38F; // false of NaN
}

// The finaliser of SplitMix64: numbers in, noise out.
SGN_HOST_DEVICE std::uint64_t mixed(std::uint64_t value)
{
    value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9U;
    value = (value ^ (value >> 27)) * 0x94D049BB133111EBU;
    return value ^ (value >> 31);
}

// Of one sample: the difference of two uniform numbers of 24 bits, so that all of it is exact. By the sample's number
// alone, whatever is computed beside it.
SGN_HOST_DEVICE float triangularNoise(std::uint64_t key, std::int64_t position)
{
    std::uint64_t const bits = mixed(key + static_cast<std::uint64_t>(position) * 0x9E3779B97F4A7C15U);
    int const first = static_cast<int>(bits >> 40);
    int const second = static_cast<int>((bits >> 8) & 0xFFFFFFU);
    return static_cast<float>(first - second) * 0x1p-24F;
}

// Full scale 1 as 32768 steps, half to even, clipped. The product is exact: fused or not, the sum is rounded once.
SGN_HOST_DEVICE std::int16_t quantised(float value, float noise)
{
    float const steps = rintf(value * 32768.0F + noise);
    return static_cast<std::int16_t>(fminf(fmaxf(steps, -32768.0F), 32767.0F));
}

// Below 500 dB under full scale a sample is zero: see SMALLEST in sgn_rt.audio.samples.
SGN_HOST_DEVICE float withoutTiny(float value)
{
    return fabsf(value) < 1e-25F ? 0.0F : value;
}

// A network value as stored, alone and in pairs of neighbours.
template <typename Value>
struct Stored;

template <>
struct Stored<float>
{
    using Pair = float2;
    static SGN_HOST_DEVICE float from(float value)
    {
        return value;
    }
    static SGN_HOST_DEVICE float2 from(float first, float second)
    {
        return make_float2(first, second);
    }
    static SGN_HOST_DEVICE float toFloat(float value)
    {
        return value;
    }
    static SGN_HOST_DEVICE float2 toFloat(float2 pair)
    {
        return pair;
    }
};

template <>
struct Stored<__half>
{
    using Pair = __half2;
    static SGN_HOST_DEVICE __half from(float value)
    {
        return __float2half_rn(value);
    }
    static SGN_HOST_DEVICE __half2 from(float first, float second)
    {
        return __floats2half2_rn(first, second);
    }
    static SGN_HOST_DEVICE float toFloat(__half value)
    {
        return __half2float(value);
    }
    static SGN_HOST_DEVICE float2 toFloat(__half2 pair)
    {
        return __half22float2(pair);
    }
};

} // namespace sgn
