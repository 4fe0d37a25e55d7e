// Where cuFFT is looked for, first found wins:
//   1. the file named by the environment variable SGN_RT_CUFFT_LIBRARY, and then nowhere else;
//   2. the soname of the CUDA version this was compiled with, then that of the other one supported, then the
//      unversioned name; each as the dynamic linker does it: already loaded in the process (PyTorch, or
//      sgn_rt.tensorrt.plugins.find, which knows the nvidia-cufft wheel), this library's RUNPATH (SGN_RT_CUFFT_DIR at build
//      time), LD_LIBRARY_PATH, the system's folders.
#include "fft_api.h"
#include "status.h"

#include <dlfcn.h>

#include <cstdlib>
#include <mutex>
#include <string>
#include <vector>

namespace sgn
{
namespace
{

#if CUDART_VERSION >= 13000
constexpr char const* kNames[] = {"libcufft.so.12", "libcufft.so.11", "libcufft.so"};
#else
constexpr char const* kNames[] = {"libcufft.so.11", "libcufft.so.12", "libcufft.so"};
#endif

void* openLibrary()
{
    std::vector<std::string> names(std::begin(kNames), std::end(kNames));
    char const* const chosen = std::getenv("SGN_RT_CUFFT_LIBRARY");
    if (chosen != nullptr && chosen[0] != '\0')
    {
        names = {chosen};
    }
    std::string tried;
    for (std::string const& name : names)
    {
        if (void* const library = dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL))
        {
            return library;
        }
        char const* const reason = dlerror();
        tried += (tried.empty() ? "" : "; ") + std::string(reason != nullptr ? reason : name.c_str());
    }
    fail("cuFFT", tried, "its shared library",
        "Install the CUDA toolkit's cuFFT or the package nvidia-cufft, or set SGN_RT_CUFFT_LIBRARY to the file.");
}

template <typename Function>
void resolve(void* library, char const* name, Function& function)
{
    void* const symbol = dlsym(library, name);
    if (symbol == nullptr)
    {
        fail("cuFFT", std::string("a library without ") + name, "a complete cuFFT",
            "Set SGN_RT_CUFFT_LIBRARY to the libcufft of the CUDA toolkit in use.");
    }
    function = reinterpret_cast<Function>(symbol);
}

FftApi load()
{
    void* const library = openLibrary(); // stays loaded: plans may outlive every object of ours
    FftApi api{};
    resolve(library, "cufftCreate", api.create);
    resolve(library, "cufftDestroy", api.destroy);
    resolve(library, "cufftSetAutoAllocation", api.setAutoAllocation);
    resolve(library, "cufftMakePlanMany64", api.makePlanMany);
    resolve(library, "cufftSetStream", api.setStream);
    resolve(library, "cufftSetWorkArea", api.setWorkArea);
    resolve(library, "cufftExecR2C", api.execRealToComplex);
    resolve(library, "cufftExecC2R", api.execComplexToReal);
    return api;
}

} // namespace

FftApi const& fftApi()
{
    // If load() throws, the next call tries again.
    static FftApi const api = load();
    return api;
}

} // namespace sgn
