// The part of libnvinfer that the registering library calls: a version and a registry that remembers.
#include <NvInferRuntime.h>

#include <cstdlib>
#include <string>

namespace
{

using namespace nvinfer1;

class Registry final : public IPluginRegistry
{
public:
    bool registerCreator(IPluginCreator&, AsciiChar const* const) noexcept override
    {
        return false;
    }
    IPluginCreator* const* getPluginCreatorList(std::int32_t* const) const noexcept override
    {
        return nullptr;
    }
    IPluginCreator* getPluginCreator(
        AsciiChar const* const, AsciiChar const* const, AsciiChar const* const) noexcept override
    {
        return nullptr;
    }
    void setErrorRecorder(IErrorRecorder* const) noexcept override { }
    IErrorRecorder* getErrorRecorder() const noexcept override
    {
        return nullptr;
    }
    bool deregisterCreator(IPluginCreator const&) noexcept override
    {
        return false;
    }
    bool isParentSearchEnabled() const override
    {
        return false;
    }
    void setParentSearchEnabled(bool const) override { }
    PluginLibraryHandle loadLibrary(AsciiChar const*) noexcept override
    {
        return nullptr;
    }
    void deregisterLibrary(PluginLibraryHandle) noexcept override { }
    bool registerCreator(IPluginCreatorInterface& creator, AsciiChar const* const plugin_namespace) noexcept override
    {
        if (std::getenv("SGN_RT_TEST_REFUSE") != nullptr)
        {
            return false;
        }
        auto& v3 = static_cast<IPluginCreatorV3One&>(creator);
        registered += std::string(plugin_namespace) + "::" + v3.getPluginName() + "/" + v3.getPluginVersion() + " ";
        return true;
    }
    IPluginCreatorInterface* const* getAllCreators(std::int32_t* const) const noexcept override
    {
        return nullptr;
    }
    IPluginCreatorInterface* getCreator(
        AsciiChar const* const, AsciiChar const* const, AsciiChar const* const) noexcept override
    {
        return nullptr;
    }
    bool deregisterCreator(IPluginCreatorInterface const&) noexcept override
    {
        return false;
    }
    IPluginResource* acquirePluginResource(AsciiChar const*, IPluginResource*) noexcept override
    {
        return nullptr;
    }
    std::int32_t releasePluginResource(AsciiChar const*) noexcept override
    {
        return 0;
    }
    IPluginCreatorInterface* const* getAllCreatorsRecursive(std::int32_t* const) noexcept override
    {
        return nullptr;
    }

    std::string registered;
};

Registry& registry()
{
    static Registry instance;
    return instance;
}

} // namespace

extern "C" IPluginRegistry* getPluginRegistry() noexcept
{
    return &registry();
}

extern "C" std::int32_t getInferLibVersion() noexcept
{
    char const* const version = std::getenv("SGN_RT_TEST_TENSORRT_VERSION");
    return version != nullptr ? std::atoi(version) : NV_TENSORRT_VERSION;
}

extern "C" char const* sgn_test_registered()
{
    return registry().registered.c_str();
}
