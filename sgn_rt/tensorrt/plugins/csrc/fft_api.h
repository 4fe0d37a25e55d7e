// The cuFFT functions in use, behind one table of cuFFT's own signatures.
//
// fft_api_cufft.cpp fills it from the shared library when a context is first attached, so that this library loads,
// and engines build, where cuFFT is absent; the host test build fills it with an FFT on the CPU. cuFFT's header is
// not needed: what is declared here has been unchanged since CUDA 7.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>

namespace sgn
{

using FftHandle = int;
using FftResult = int;
constexpr FftResult kFftSuccess = 0;
constexpr int kFftRealToComplex = 0x2a;
constexpr int kFftComplexToReal = 0x2c;

struct FftApi
{
    FftResult (*create)(FftHandle* plan);
    FftResult (*destroy)(FftHandle plan);
    FftResult (*setAutoAllocation)(FftHandle plan, int automatic);
    FftResult (*makePlanMany)(FftHandle plan, int rank, long long* n, long long* input_embed, long long input_stride,
        long long input_distance, long long* output_embed, long long output_stride, long long output_distance, int type,
        long long batch, std::size_t* work_bytes);
    FftResult (*setStream)(FftHandle plan, cudaStream_t stream);
    FftResult (*setWorkArea)(FftHandle plan, void* work);
    FftResult (*execRealToComplex)(FftHandle plan, float* input, float2* output);
    FftResult (*execComplexToReal)(FftHandle plan, float2* input, float* output);
};

// Loads cuFFT on first use. Throws an Error that names where it was looked for.
FftApi const& fftApi();

} // namespace sgn
