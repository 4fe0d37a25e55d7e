// Creator of one operation.
#pragma once

#include "fields.h"
#include "plugin.h"
#include "status.h"

#include <NvInferRuntime.h>

#include <vector>

namespace sgn
{

template <typename Operation>
class Creator final : public nvinfer1::IPluginCreatorV3One
{
public:
    // Build and runtime phase take the same attributes: all that an operation is.
    nvinfer1::IPluginV3* createPlugin(nvinfer1::AsciiChar const* /*name*/,
        nvinfer1::PluginFieldCollection const* attributes, nvinfer1::TensorRTPhase /*phase*/) noexcept override
    {
        nvinfer1::IPluginV3* plugin = nullptr;
        guarded(Operation::kName, [&] { plugin = new Operation(Fields(Operation::kFields, attributes)); });
        return plugin;
    }

    nvinfer1::PluginFieldCollection const* getFieldNames() noexcept override
    {
        return &collection_;
    }

    nvinfer1::AsciiChar const* getPluginName() const noexcept override
    {
        return Operation::kName;
    }

    nvinfer1::AsciiChar const* getPluginVersion() const noexcept override
    {
        return kPluginVersion;
    }

    nvinfer1::AsciiChar const* getPluginNamespace() const noexcept override
    {
        return kPluginNamespace;
    }

private:
    std::vector<nvinfer1::PluginField> declared_{declarations(Operation::kFields)};
    nvinfer1::PluginFieldCollection collection_{static_cast<std::int32_t>(declared_.size()), declared_.data()};
};

} // namespace sgn
