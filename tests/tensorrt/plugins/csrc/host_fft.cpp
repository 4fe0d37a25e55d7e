// The FFT table on the CPU: transforms of any length in double precision, with cuFFT's contracts made to bite.
//   - the work area is scribbled over, so that it must not overlap data in use;
//   - an inverse whose first or Nyquist bin is not real returns NaN, where cuFFT's result is undefined;
//   - executing without a work area, or before a plan is made, fails.
#include "host_api.h"

#include "fft_api.h"

#include <vector_functions.h>

#include <cmath>
#include <complex>
#include <cstring>
#include <limits>
#include <map>
#include <vector>

namespace sgn
{
namespace
{

using Complex = std::complex<double>;

struct Plan
{
    std::size_t length{};
    long long rows{};
    long long real_distance{};
    long long complex_distance{};
    int type{};
    std::size_t work_bytes{};
    void* work{};
    std::vector<Complex> roots;
    std::vector<Complex> input;
    std::vector<Complex> output;
    std::vector<Complex> scratch;
};

std::map<FftHandle, Plan> plans;
FftHandle next_handle = 1;

constexpr FftResult kInvalidPlan = 1;
constexpr FftResult kInvalidValue = 4;
constexpr FftResult kInternalError = 5;
constexpr FftResult kExecFailed = 6;

// Decimation in time: a transform of input[0], input[stride], ..., of that length, by its smallest prime factor.
void transform(Plan& plan, Complex const* input, Complex* output, std::size_t length, std::size_t stride)
{
    if (length == 1)
    {
        output[0] = input[0];
        return;
    }
    std::size_t radix = 2;
    while (length % radix != 0)
    {
        ++radix;
    }
    std::size_t const part = length / radix;
    for (std::size_t i = 0; i < radix; ++i)
    {
        transform(plan, input + i * stride, output + i * part, part, stride * radix);
    }
    for (std::size_t k = 0; k < part; ++k)
    {
        for (std::size_t i = 0; i < radix; ++i)
        {
            plan.scratch[i] = output[i * part + k];
        }
        for (std::size_t q = 0; q < radix; ++q)
        {
            std::size_t const step = (k + q * part) * stride; // below plan.length
            std::size_t root = 0;
            double real = 0.0;
            double imaginary = 0.0; // by parts: std::complex also minds infinities
            for (std::size_t i = 0; i < radix; ++i)
            {
                Complex const a = plan.scratch[i];
                Complex const b = plan.roots[root];
                real += a.real() * b.real() - a.imag() * b.imag();
                imaginary += a.real() * b.imag() + a.imag() * b.real();
                root += step;
                root -= root >= plan.length ? plan.length : 0;
            }
            output[k + q * part] = {real, imaginary};
        }
    }
}

FftResult create(FftHandle* handle)
{
    ++host::counters.fft_setup;
    if (host::settings.fail_fft == 1)
    {
        return kInternalError; // what cuFFT answers without a driver
    }
    *handle = next_handle++;
    plans[*handle];
    ++host::counters.plans_alive;
    return kFftSuccess;
}

FftResult destroy(FftHandle handle)
{
    host::counters.plans_alive -= static_cast<long long>(plans.count(handle));
    return plans.erase(handle) == 1 ? kFftSuccess : kInvalidPlan;
}

FftResult setAutoAllocation(FftHandle handle, int automatic)
{
    return plans.count(handle) == 1 && automatic == 0 ? kFftSuccess : kInvalidValue;
}

FftResult makePlanMany(FftHandle handle, int rank, long long* n, long long* input_embed, long long input_stride,
    long long input_distance, long long* output_embed, long long output_stride, long long output_distance, int type,
    long long batch, std::size_t* work_bytes)
{
    ++host::counters.fft_setup;
    auto const found = plans.find(handle);
    if (found == plans.end())
    {
        return kInvalidPlan;
    }
    if (host::settings.fail_fft == 2)
    {
        return kInternalError;
    }
    Plan& plan = found->second;
    bool const forward = type == kFftRealToComplex;
    plan.real_distance = forward ? input_distance : output_distance;
    plan.complex_distance = forward ? output_distance : input_distance;
    long long const real_embed = forward ? *input_embed : *output_embed;
    long long const complex_embed = forward ? *output_embed : *input_embed;
    // In place: as much room for the samples as for the bins, whole rows apart.
    if (rank != 1 || batch < 1 || input_stride != 1 || output_stride != 1 || (!forward && type != kFftComplexToReal)
        || complex_embed < *n / 2 + 1 || real_embed < *n || plan.real_distance != 2 * plan.complex_distance
        || plan.complex_distance < complex_embed)
    {
        return kInvalidValue;
    }
    plan.length = static_cast<std::size_t>(*n);
    plan.rows = batch;
    plan.type = type;
    plan.work_bytes = host::settings.work_bytes >= 0 ? static_cast<std::size_t>(host::settings.work_bytes)
                                                     : static_cast<std::size_t>(*n * batch) * 2 * sizeof(float);
    *work_bytes = plan.work_bytes;
    double const sign = forward ? -1.0 : 1.0;
    for (std::size_t i = 0; i < plan.length; ++i)
    {
        plan.roots.push_back(
            std::polar(1.0, sign * 2.0 * std::acos(-1.0) * static_cast<double>(i) / static_cast<double>(plan.length)));
    }
    plan.input.resize(plan.length);
    plan.output.resize(plan.length);
    plan.scratch.resize(plan.length);
    return kFftSuccess;
}

FftResult setStream(FftHandle handle, cudaStream_t /*stream*/)
{
    return plans.count(handle) == 1 ? kFftSuccess : kInvalidPlan;
}

FftResult setWorkArea(FftHandle handle, void* work)
{
    if (plans.count(handle) != 1)
    {
        return kInvalidPlan;
    }
    plans[handle].work = work;
    return kFftSuccess;
}

FftResult begin(FftHandle handle, int type, void const* input, void const* output)
{
    if (plans.count(handle) != 1 || plans[handle].type != type || input != output || plans[handle].work == nullptr)
    {
        return kExecFailed;
    }
    ++host::counters.fft_runs;
    std::memset(plans[handle].work, 0xff, plans[handle].work_bytes);
    return kFftSuccess;
}

FftResult execRealToComplex(FftHandle handle, float* input, float2* output)
{
    if (FftResult const result = begin(handle, kFftRealToComplex, input, output); result != kFftSuccess)
    {
        return result;
    }
    Plan& plan = plans[handle];
    for (long long row = 0; row < plan.rows; ++row)
    {
        for (std::size_t i = 0; i < plan.length; ++i)
        {
            plan.input[i] = static_cast<double>(input[row * plan.real_distance + static_cast<long long>(i)]);
        }
        transform(plan, plan.input.data(), plan.output.data(), plan.length, 1);
        for (std::size_t i = 0; i <= plan.length / 2; ++i)
        {
            output[row * plan.complex_distance + static_cast<long long>(i)]
                = make_float2(static_cast<float>(plan.output[i].real()), static_cast<float>(plan.output[i].imag()));
        }
    }
    return kFftSuccess;
}

FftResult execComplexToReal(FftHandle handle, float2* input, float* output)
{
    if (FftResult const result = begin(handle, kFftComplexToReal, input, output); result != kFftSuccess)
    {
        return result;
    }
    Plan& plan = plans[handle];
    for (long long row = 0; row < plan.rows; ++row)
    {
        bool hermitian = true;
        for (std::size_t i = 0; i <= plan.length / 2; ++i)
        {
            float2 const value = input[row * plan.complex_distance + static_cast<long long>(i)];
            Complex const bin(static_cast<double>(value.x), static_cast<double>(value.y));
            hermitian = hermitian && ((i != 0 && 2 * i != plan.length) || bin.imag() == 0.0);
            plan.input[i] = bin;
            plan.input[(plan.length - i) % plan.length] = i == 0 ? bin : std::conj(bin);
            if (2 * i == plan.length)
            {
                plan.input[i] = bin;
            }
        }
        transform(plan, plan.input.data(), plan.output.data(), plan.length, 1);
        for (std::size_t i = 0; i < plan.length; ++i)
        {
            output[row * plan.real_distance + static_cast<long long>(i)]
                = hermitian ? static_cast<float>(plan.output[i].real()) : std::numeric_limits<float>::quiet_NaN();
        }
    }
    return kFftSuccess;
}

} // namespace

FftApi const& fftApi()
{
    static constexpr FftApi kHost{&create, &destroy, &setAutoAllocation, &makePlanMany, &setStream, &setWorkArea,
        &execRealToComplex, &execComplexToReal};
    return kHost;
}

} // namespace sgn
