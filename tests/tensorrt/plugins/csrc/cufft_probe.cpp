// Loads cuFFT as the plugin library does and tries to make a plan.
#include "fft_api.h"
#include "status.h"

#include <cstdio>
#include <exception>

#ifdef SGN_RT_HAVE_CUFFT_HEADER
#include <cufft.h>
#include <cufftXt.h>

#include <type_traits>

namespace
{

// Same calling convention: enumerations are passed as int, cufftComplex is float2.
static_assert(sizeof(cufftResult) == sizeof(sgn::FftResult) && sizeof(cufftType) == sizeof(int));
static_assert(std::is_same_v<cufftHandle, sgn::FftHandle> && std::is_same_v<cufftComplex, float2>);
static_assert(
    CUFFT_SUCCESS == sgn::kFftSuccess && CUFFT_R2C == sgn::kFftRealToComplex && CUFFT_C2R == sgn::kFftComplexToReal);
static_assert(std::is_same_v<decltype(&cufftCreate), cufftResult (*)(cufftHandle*)>);
static_assert(std::is_same_v<decltype(&cufftDestroy), cufftResult (*)(cufftHandle)>);
static_assert(std::is_same_v<decltype(&cufftSetAutoAllocation), cufftResult (*)(cufftHandle, int)>);
static_assert(std::is_same_v<decltype(&cufftMakePlanMany64),
    cufftResult (*)(cufftHandle, int, long long*, long long*, long long, long long, long long*, long long, long long,
        cufftType, long long, std::size_t*)>);
static_assert(std::is_same_v<decltype(&cufftSetStream), cufftResult (*)(cufftHandle, cudaStream_t)>);
static_assert(std::is_same_v<decltype(&cufftSetWorkArea), cufftResult (*)(cufftHandle, void*)>);
static_assert(std::is_same_v<decltype(&cufftExecR2C), cufftResult (*)(cufftHandle, cufftReal*, cufftComplex*)>);
static_assert(std::is_same_v<decltype(&cufftExecC2R), cufftResult (*)(cufftHandle, cufftComplex*, cufftReal*)>);

} // namespace
#endif

// cufftCreate's result, or -1 and a message where cuFFT does not load.
extern "C" int sgn_test_cufft(char* message, std::size_t size)
{
    try
    {
        sgn::FftHandle handle = 0;
        sgn::FftResult const result = sgn::fftApi().create(&handle);
        if (result == sgn::kFftSuccess)
        {
            sgn::fftApi().destroy(handle);
        }
        return result;
    }
    catch (std::exception const& error)
    {
        std::snprintf(message, size, "%s", error.what());
        return -1;
    }
}

extern "C" int sgn_test_cufft_declarations_compared()
{
#ifdef SGN_RT_HAVE_CUFFT_HEADER
    return 1;
#else
    return 0;
#endif
}
