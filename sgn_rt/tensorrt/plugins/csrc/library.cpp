// What the library exports to TensorRT: the two functions that it looks for; and its version.
#include "library.h"

#include "creator.h"
#include "istft_plugin.h"
#include "status.h"
#include "stft_plugin.h"

#ifndef SGN_RT_VERSION
#error "SGN_RT_VERSION is not defined. Build with the project's CMakeLists.txt."
#endif

extern "C" nvinfer1::IPluginCreatorInterface* const* getCreators(std::int32_t& count)
{
    static nvinfer1::IPluginCreatorInterface* const* creators = nullptr;
    bool const done = sgn::guarded("getCreators", [] {
        static sgn::Creator<sgn::StftPlugin> stft;
        static sgn::Creator<sgn::IstftPlugin> istft;
        static nvinfer1::IPluginCreatorInterface* const all[] = {&stft, &istft};
        creators = all;
    });
    count = done ? 2 : 0;
    return creators;
}

// TensorRT calls it, so it must exist; see status.h for why the logger is left alone.
extern "C" void setLoggerFinder(nvinfer1::ILoggerFinder* /*finder*/) { }

extern "C" char const* sgn_rt_plugin_version()
{
    return SGN_RT_VERSION;
}
