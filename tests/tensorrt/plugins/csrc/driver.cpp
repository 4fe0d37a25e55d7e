// What TensorRT does with a plugin, one C function per step, for the tests to call in TensorRT's order.
#include "host_api.h"
#include "library.h"
#include "status.h"

#include <NvInferRuntime.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <deque>
#include <limits>
#include <string>
#include <vector>

namespace
{

using namespace nvinfer1;

std::string last_message;

void keepMessage(char const* message)
{
    last_message = message;
}

// Expressions over known dimensions: computed at once. (TensorRT's own are symbolic; a test builds an engine with
// those.)
class Constant final : public IDimensionExpr, private apiv::VDimensionExpr
{
public:
    explicit Constant(std::int64_t value)
        : value_(value)
    {
        mImpl = this;
    }

private:
    bool isConstant() const override
    {
        return true;
    }
    std::int64_t getConstantValue() const override
    {
        return value_;
    }
    bool isSizeTensor() const override
    {
        return false;
    }

    std::int64_t value_;
};

class Builder final : public IExprBuilder, private apiv::VExprBuilder
{
public:
    Builder()
    {
        mImpl = this;
    }

private:
    IDimensionExpr const* constant(std::int64_t value) override
    {
        return &values_.emplace_back(value);
    }
    IDimensionExpr const* operation(
        DimensionOperation op, IDimensionExpr const& first, IDimensionExpr const& second) override
    {
        std::int64_t const a = first.getConstantValue();
        std::int64_t const b = second.getConstantValue();
        switch (op)
        {
        case DimensionOperation::kSUM: return constant(a + b);
        case DimensionOperation::kFLOOR_DIV: return constant(a / b - (a % b < 0 ? 1 : 0));
        default: return nullptr;
        }
    }
    IDimensionExpr const* declareSizeTensor(std::int32_t, IDimensionExpr const&, IDimensionExpr const&) override
    {
        return nullptr;
    }

    std::deque<Constant> values_;
};

template <typename Capability>
Capability* capability(void* plugin, PluginCapabilityType type)
{
    return static_cast<Capability*>(static_cast<IPluginV3*>(plugin)->getCapabilityInterface(type));
}

IPluginV3OneBuild* build(void* plugin)
{
    return capability<IPluginV3OneBuild>(plugin, PluginCapabilityType::kBUILD);
}

IPluginV3OneRuntime* runtime(void* plugin)
{
    return capability<IPluginV3OneRuntime>(plugin, PluginCapabilityType::kRUNTIME);
}

} // namespace

extern "C"
{

struct TestField
{
    char const* name;
    void const* data;
    std::int32_t type;
    std::int32_t length;
};

struct TestTensor
{
    std::int32_t rank;
    std::int32_t type;
    std::int32_t format;
    std::int64_t dims[8];
};

static std::vector<PluginTensorDesc> described(TestTensor const* tensors, std::int32_t count)
{
    std::vector<PluginTensorDesc> result(static_cast<std::size_t>(count));
    for (std::int32_t i = 0; i < count; ++i)
    {
        PluginTensorDesc& desc = result[static_cast<std::size_t>(i)];
        desc.type = static_cast<DataType>(tensors[i].type);
        desc.format = static_cast<TensorFormat>(tensors[i].format);
        desc.dims.nbDims = tensors[i].rank;
        std::copy_n(tensors[i].dims, 8, desc.dims.d);
    }
    return result;
}

static std::vector<DynamicPluginTensorDesc> dynamic(TestTensor const* tensors, std::int32_t count)
{
    std::vector<DynamicPluginTensorDesc> result;
    for (PluginTensorDesc const& desc : described(tensors, count))
    {
        result.push_back({desc, desc.dims, desc.dims, desc.dims});
    }
    return result;
}

SGN_RT_EXPORT char const* sgn_test_message()
{
    return last_message.c_str();
}

SGN_RT_EXPORT void sgn_test_begin()
{
    sgn::setMessageSink(&keepMessage);
    last_message.clear();
}

SGN_RT_EXPORT sgn::host::Settings* sgn_test_settings()
{
    return &sgn::host::settings;
}

SGN_RT_EXPORT sgn::host::Counters const* sgn_test_counters()
{
#if defined(__SANITIZE_ADDRESS__)
    sgn::host::counters.heap = -1;
#endif
    return &sgn::host::counters;
}

// Not cleared but filled with NaN.
SGN_RT_EXPORT void* sgn_test_allocate(std::size_t bytes)
{
    void* const memory = sgn::host::allocateTensor(bytes);
    return memory != nullptr ? std::memset(memory, 0xff, bytes) : nullptr;
}

SGN_RT_EXPORT void sgn_test_free(void* memory)
{
    sgn::host::releaseTensor(memory);
}

SGN_RT_EXPORT IPluginCreatorV3One* sgn_test_creator(char const* name)
{
    std::int32_t count = 0;
    IPluginCreatorInterface* const* const creators = getCreators(count);
    for (std::int32_t i = 0; i < count; ++i)
    {
        auto* const creator = static_cast<IPluginCreatorV3One*>(creators[i]);
        if (std::strcmp(creator->getPluginName(), name) == 0)
        {
            return creator;
        }
    }
    return nullptr;
}

SGN_RT_EXPORT char const* sgn_test_creator_namespace(IPluginCreatorV3One* creator)
{
    return creator->getPluginNamespace();
}

SGN_RT_EXPORT char const* sgn_test_creator_version(IPluginCreatorV3One* creator)
{
    return creator->getPluginVersion();
}

static std::int32_t copyFields(PluginFieldCollection const* from, TestField* to, std::int32_t room)
{
    if (from == nullptr || from->nbFields > room)
    {
        return -1;
    }
    for (std::int32_t i = 0; i < from->nbFields; ++i)
    {
        PluginField const& field = from->fields[i];
        to[i] = {field.name, field.data, static_cast<std::int32_t>(field.type), field.length};
    }
    return from->nbFields;
}

SGN_RT_EXPORT std::int32_t sgn_test_field_names(IPluginCreatorV3One* creator, TestField* to, std::int32_t room)
{
    return copyFields(creator->getFieldNames(), to, room);
}

SGN_RT_EXPORT void* sgn_test_create(
    IPluginCreatorV3One* creator, TestField const* given, std::int32_t count, std::int32_t phase)
{
    std::vector<PluginField> fields;
    for (std::int32_t i = 0; i < count; ++i)
    {
        fields.emplace_back(given[i].name, given[i].data, static_cast<PluginFieldType>(given[i].type), given[i].length);
    }
    PluginFieldCollection const collection{count, fields.empty() ? nullptr : fields.data()};
    return creator->createPlugin("node", &collection, static_cast<TensorRTPhase>(phase));
}

SGN_RT_EXPORT void* sgn_test_create_from(IPluginCreatorV3One* creator, std::int32_t count, TestField const* given)
{
    // A collection that lies about itself.
    PluginFieldCollection const collection{count, reinterpret_cast<PluginField const*>(given)};
    return creator->createPlugin("node", count == -2 ? nullptr : &collection, TensorRTPhase::kRUNTIME);
}

SGN_RT_EXPORT void sgn_test_destroy(void* plugin)
{
    delete static_cast<IPluginV3*>(plugin);
}

SGN_RT_EXPORT void* sgn_test_clone(void* plugin)
{
    return static_cast<IPluginV3*>(plugin)->clone();
}

SGN_RT_EXPORT void* sgn_test_attach(void* plugin)
{
    return runtime(plugin)->attachToContext(nullptr);
}

SGN_RT_EXPORT std::int32_t sgn_test_serialised(void* plugin, TestField* to, std::int32_t room)
{
    return copyFields(runtime(plugin)->getFieldsToSerialize(), to, room);
}

SGN_RT_EXPORT std::int32_t sgn_test_infer(
    void* plugin, TestTensor const* in, std::int32_t inputs, TestTensor* out, std::int32_t outputs)
{
    std::vector<DataType> in_types(static_cast<std::size_t>(inputs));
    std::vector<DataType> out_types(static_cast<std::size_t>(outputs));
    std::deque<Constant> values;
    std::vector<DimsExprs> in_dims(static_cast<std::size_t>(inputs));
    std::vector<DimsExprs> out_dims(static_cast<std::size_t>(outputs));
    for (std::size_t i = 0; i < in_types.size(); ++i)
    {
        in_types[i] = static_cast<DataType>(in[i].type);
        in_dims[i].nbDims = in[i].rank;
        for (std::int32_t axis = 0; axis < in[i].rank; ++axis)
        {
            in_dims[i].d[axis] = &values.emplace_back(in[i].dims[axis]);
        }
    }
    if (build(plugin)->getOutputDataTypes(out_types.data(), outputs, in_types.data(), inputs) != 0)
    {
        return 1;
    }
    Builder builder;
    if (build(plugin)->getOutputShapes(in_dims.data(), inputs, nullptr, 0, out_dims.data(), outputs, builder) != 0)
    {
        return 2;
    }
    for (std::size_t i = 0; i < out_types.size(); ++i)
    {
        out[i] = {out_dims[i].nbDims, static_cast<std::int32_t>(out_types[i]), 0, {}};
        for (std::int32_t axis = 0; axis < out[i].rank; ++axis)
        {
            out[i].dims[axis] = out_dims[i].d[axis]->getConstantValue();
        }
    }
    return 0;
}

SGN_RT_EXPORT std::int32_t sgn_test_outputs(void* plugin)
{
    return build(plugin)->getNbOutputs();
}

// Tensors after position are garbage, as they are when TensorRT asks.
SGN_RT_EXPORT std::int32_t sgn_test_supports(
    void* plugin, std::int32_t position, TestTensor const* tensors, std::int32_t inputs, std::int32_t outputs)
{
    std::vector<DynamicPluginTensorDesc> all = dynamic(tensors, inputs + outputs);
    for (std::size_t i = static_cast<std::size_t>(std::max(position, 0)) + 1; i < all.size(); ++i)
    {
        all[i].desc.type = static_cast<DataType>(-1);
        all[i].desc.format = static_cast<TensorFormat>(-1);
    }
    return build(plugin)->supportsFormatCombination(position, all.data(), inputs, outputs) ? 1 : 0;
}

SGN_RT_EXPORT std::int32_t sgn_test_configure(
    void* plugin, TestTensor const* in, std::int32_t inputs, TestTensor const* out, std::int32_t outputs)
{
    return build(plugin)->configurePlugin(dynamic(in, inputs).data(), inputs, dynamic(out, outputs).data(), outputs);
}

SGN_RT_EXPORT std::size_t sgn_test_workspace(
    void* plugin, TestTensor const* in, std::int32_t inputs, TestTensor const* out, std::int32_t outputs)
{
    return build(plugin)->getWorkspaceSize(dynamic(in, inputs).data(), inputs, dynamic(out, outputs).data(), outputs);
}

SGN_RT_EXPORT std::int32_t sgn_test_shape_change(
    void* plugin, TestTensor const* in, std::int32_t inputs, TestTensor const* out, std::int32_t outputs)
{
    return runtime(plugin)->onShapeChange(
        described(in, inputs).data(), inputs, described(out, outputs).data(), outputs);
}

SGN_RT_EXPORT std::int32_t sgn_test_enqueue(void* plugin, TestTensor const* in, std::int32_t inputs,
    TestTensor const* out, std::int32_t outputs, void const* const* read, void* const* written, void* workspace,
    sgn::host::Counters* spent)
{
    std::vector<PluginTensorDesc> const in_desc = described(in, inputs);
    std::vector<PluginTensorDesc> const out_desc = described(out, outputs);
    std::vector<void const*> inputs_on_device;
    std::vector<void*> outputs_on_device;
    for (std::int32_t i = 0; i < inputs; ++i)
    {
        inputs_on_device.push_back(sgn::host::onDevice(const_cast<void*>(read[i])));
    }
    for (std::int32_t i = 0; i < outputs; ++i)
    {
        outputs_on_device.push_back(sgn::host::onDevice(written[i]));
    }
    void* const workspace_on_device = sgn::host::onDevice(workspace);
    auto call = [&](cudaStream_t stream) {
        return runtime(plugin)->enqueue(in_desc.data(), out_desc.data(), inputs_on_device.data(),
            outputs_on_device.data(), workspace_on_device, stream);
    };
    sgn::host::Counters const before = sgn::host::counters;
    std::int32_t const status = sgn::host::execute(
        [](void* context, cudaStream_t stream) { return (*static_cast<decltype(call)*>(context))(stream); }, &call);
    sgn::host::Counters const& after = sgn::host::counters;
    *spent = {after.device_calls - before.device_calls, after.device_alive - before.device_alive,
        after.fft_setup - before.fft_setup, after.plans_alive - before.plans_alive, after.fft_runs - before.fft_runs,
        after.heap - before.heap};
    return status;
}

} // extern "C"
