// Registers the operations when the library is loaded, for hosts that only dlopen a plugin library: Triton Inference
// Server and ONNX Runtime. It talks to the plugin registry, whose interface belongs to one major version of
// TensorRT: this library is compiled with the headers of the libnvinfer that it is linked to.
#include "library.h"
#include "status.h"

#include <NvInferRuntime.h>

#include <cstdint>
#include <string>

namespace
{

constexpr std::int32_t kMajorUnit = 10000; // getInferLibVersion: 10.14.1 is 101401

[[gnu::constructor]] void registerOperations()
{
    sgn::guarded("registration", [] {
        std::int32_t const loaded = getInferLibVersion() / kMajorUnit;
        if (loaded != NV_TENSORRT_MAJOR)
        {
            sgn::fail("TensorRT", "major version " + std::to_string(loaded),
                "the " + std::to_string(NV_TENSORRT_MAJOR) + " that this library was compiled for",
                "Build it again with the headers and the libnvinfer of the host.");
        }
        nvinfer1::IPluginRegistry* const registry = getPluginRegistry();
        if (registry == nullptr)
        {
            sgn::fail("plugin registry", "none", "that of TensorRT", "Check the installation of TensorRT.");
        }
        std::int32_t count = 0;
        nvinfer1::IPluginCreatorInterface* const* const creators = getCreators(count);
        for (std::int32_t i = 0; i < count; ++i)
        {
            auto& creator = static_cast<nvinfer1::IPluginCreatorV3One&>(*creators[i]);
            if (!registry->registerCreator(creator, creator.getPluginNamespace()))
            {
                sgn::fail(std::string("registration of ") + creator.getPluginName(), "a refusal", "success",
                    "Load the operations once: through this library or through TensorRT's loadLibrary, not both.");
            }
        }
    });
}

} // namespace
