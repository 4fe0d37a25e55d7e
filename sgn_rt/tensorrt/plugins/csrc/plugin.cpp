#include "plugin.h"

#include "status.h"

#include <cstring>
#include <string>

namespace sgn
{
namespace
{

using namespace nvinfer1;

constexpr std::int32_t kSuccess = 0;
constexpr std::int32_t kFailure = 1;

constexpr char const* kShapeAdvice = "Check the graph around the node and the shapes set on the context.";

Dims const& dimsOf(PluginTensorDesc const& tensor)
{
    return tensor.dims;
}

// The largest that the profile allows, for reserving.
Dims const& dimsOf(DynamicPluginTensorDesc const& tensor)
{
    return tensor.max;
}

template <typename Desc>
TensorDims gather(Signature const& signature, Desc const* in, Desc const* out)
{
    if (in == nullptr || out == nullptr)
    {
        fail("tensor descriptions", "none", "one per input and output", kShapeAdvice);
    }
    TensorDims dims{};
    for (std::int32_t i = 0; i < signature.inputs; ++i)
    {
        dims.at(static_cast<std::size_t>(i)) = dimsOf(in[i]);
    }
    for (std::int32_t i = 0; i < signature.outputs; ++i)
    {
        dims.at(static_cast<std::size_t>(signature.inputs + i)) = dimsOf(out[i]);
    }
    return dims;
}

void checkPointer(char const* what, void const* pointer)
{
    // Pairs of values are accessed at once; TensorRT asks callers for 256 bytes.
    constexpr std::uintptr_t kAlignment = 16;
    auto const address = reinterpret_cast<std::uintptr_t>(pointer);
    if (pointer == nullptr || address % kAlignment != 0)
    {
        fail(what, pointer == nullptr ? "no memory" : "an address off by " + std::to_string(address % kAlignment),
            "device memory aligned to 256 bytes", "Pass whole allocations as tensor addresses.");
    }
}

} // namespace

StftGeometry geometryFrom(Fields const& fields)
{
    std::int32_t const n_fft = fields.integer(kNFft);
    std::int32_t const given = fields.integer(kWindowLength);
    StftGeometry const geometry{n_fft, fields.integer(kHopLength), given != 0 ? given : n_fft};
    if (geometry.window_length > n_fft)
    {
        fail("attribute window_length", std::to_string(geometry.window_length),
            "at most n_fft = " + std::to_string(n_fft), "Correct the model's configuration.");
    }
    if (geometry.hop_length > geometry.window_length / 2)
    {
        fail("attribute hop_length", std::to_string(geometry.hop_length),
            "at most half the window, " + std::to_string(geometry.window_length / 2) + ", or the inverse has gaps",
            "Correct the model's configuration.");
    }
    return geometry;
}

void checkDim(char const* what, std::int64_t got, std::int64_t expected)
{
    if (got != -1 && got != expected)
    {
        fail(what, std::to_string(got), std::to_string(expected), kShapeAdvice);
    }
}

void checkRank(char const* what, std::int32_t got, std::int32_t expected)
{
    if (got != expected)
    {
        fail(what, std::to_string(got) + " dimensions", std::to_string(expected), kShapeAdvice);
    }
}

void checkRange(char const* what, std::int64_t got, std::int64_t minimum, std::int64_t maximum)
{
    if (got != -1 && (got < minimum || got > maximum))
    {
        fail(what, std::to_string(got), std::to_string(minimum) + " to " + std::to_string(maximum), kShapeAdvice);
    }
}

void checkLaunch(cudaError_t error, char const* kernel)
{
    checkDevice(error, kernel);
}

Resources::Resources(StftGeometry const& geometry, FftDirection direction, std::vector<FrequencyTap> const& host_taps)
    : plans(geometry, direction)
{
    checkDevice(deviceApi().cacheBytes(&cache_bytes), "size of the device's cache");
    static_cast<void>(fftApi()); // fail here, not at the first shape, where there is no cuFFT
    std::vector<float> const host_window = windowTable(geometry);
    std::size_t const window_bytes = host_window.size() * sizeof(float);
    std::size_t const taps_bytes = host_taps.size() * sizeof(FrequencyTap);
    std::vector<char> staged(aligned(window_bytes) + taps_bytes);
    std::memcpy(staged.data(), host_window.data(), window_bytes);
    std::memcpy(staged.data() + aligned(window_bytes), host_taps.data(), taps_bytes);
    tables = DeviceBuffer(staged.size());
    checkDevice(deviceApi().upload(tables.get(), staged.data(), staged.size()), "upload of tables");
    window = static_cast<float const*>(tables.get());
    taps = reinterpret_cast<FrequencyTap const*>(static_cast<char const*>(tables.get()) + aligned(window_bytes));
}

Plugin::Plugin(Signature const& signature, StftGeometry const& geometry, std::int32_t log_bins)
    : signature_(signature)
    , geometry_(geometry)
    , log_bins_(log_bins)
{
}

IPluginCapability* Plugin::getCapabilityInterface(PluginCapabilityType type) noexcept
{
    switch (type)
    {
    case PluginCapabilityType::kCORE: return static_cast<IPluginV3OneCore*>(this);
    case PluginCapabilityType::kBUILD: return static_cast<IPluginV3OneBuild*>(this);
    case PluginCapabilityType::kRUNTIME: return static_cast<IPluginV3OneRuntime*>(this);
    }
    return nullptr;
}

IPluginV3* Plugin::clone() noexcept
{
    std::unique_ptr<Plugin> twin;
    guarded(signature_.name, [&] { twin = copy(); });
    return twin.release();
}

AsciiChar const* Plugin::getPluginName() const noexcept
{
    return signature_.name;
}

AsciiChar const* Plugin::getPluginVersion() const noexcept
{
    return kPluginVersion;
}

AsciiChar const* Plugin::getPluginNamespace() const noexcept
{
    return kPluginNamespace;
}

std::int32_t Plugin::getNbOutputs() const noexcept
{
    return signature_.outputs;
}

void Plugin::checkCounts(std::int32_t inputs, std::int32_t outputs) const
{
    if (inputs != signature_.inputs || outputs != signature_.outputs)
    {
        fail("node", std::to_string(inputs) + " inputs and " + std::to_string(outputs) + " outputs",
            std::to_string(signature_.inputs) + " and " + std::to_string(signature_.outputs), kShapeAdvice);
    }
}

std::int32_t Plugin::getOutputDataTypes(
    DataType* output_types, std::int32_t outputs, DataType const* input_types, std::int32_t inputs) const noexcept
{
    bool const done = guarded(signature_.name, [&] {
        checkCounts(inputs, outputs);
        for (std::int32_t i = 0; i < inputs; ++i)
        {
            if (!supports(i, input_types[i]))
            {
                fail("type of input " + std::to_string(i),
                    "DataType " + std::to_string(static_cast<int>(input_types[i])),
                    "float32" + std::string(i == networkTensor() ? " or float16" : ""), "Cast it in the graph.");
            }
        }
        for (std::int32_t i = 0; i < outputs; ++i)
        {
            output_types[i] = outputType(i);
        }
    });
    return done ? kSuccess : kFailure;
}

std::int32_t Plugin::getOutputShapes(DimsExprs const* in, std::int32_t inputs, DimsExprs const* /*shape_inputs*/,
    std::int32_t shape_input_count, DimsExprs* out, std::int32_t outputs, IExprBuilder& builder) noexcept
{
    bool const done = guarded(signature_.name, [&] {
        checkCounts(inputs, outputs);
        checkDim("shape inputs", shape_input_count, 0);
        inferShapes(in, out, builder);
    });
    return done ? kSuccess : kFailure;
}

bool Plugin::supportsFormatCombination(
    std::int32_t position, DynamicPluginTensorDesc const* tensors, std::int32_t inputs, std::int32_t outputs) noexcept
{
    // Only the tensors up to position are decided when this is asked.
    return tensors != nullptr && inputs == signature_.inputs && outputs == signature_.outputs && position >= 0
        && position < inputs + outputs && tensors[position].desc.format == TensorFormat::kLINEAR
        && supports(position, tensors[position].desc.type);
}

std::int32_t Plugin::configurePlugin(DynamicPluginTensorDesc const* in, std::int32_t inputs,
    DynamicPluginTensorDesc const* out, std::int32_t outputs) noexcept
{
    bool const done = guarded(signature_.name, [&] {
        checkCounts(inputs, outputs);
        checkDims(gather(signature_, in, out));
    });
    return done ? kSuccess : kFailure;
}

std::size_t Plugin::getWorkspaceSize(DynamicPluginTensorDesc const* in, std::int32_t inputs,
    DynamicPluginTensorDesc const* out, std::int32_t outputs) const noexcept
{
    std::size_t bytes = 0; // a size is all that can be answered; dimensions that are wrong fail elsewhere
    guarded(signature_.name, [&] {
        checkCounts(inputs, outputs);
        TensorDims const dims = gather(signature_, in, out);
        checkDims(dims);
        bytes = workspaceBytes(dims);
    });
    return bytes;
}

Resources& Plugin::resources()
{
    std::lock_guard<std::mutex> const lock(resources_mutex_);
    if (resources_ == nullptr)
    {
        if (cudaError_t const error = loadKernels(); error != cudaSuccess)
        {
            fail("kernels", std::string(deviceApi().describe(error)) + " (CUDA error " + std::to_string(error) + ")",
                "code for this GPU",
                "Build the plugin library with -DSGN_RT_CUDA_ARCHITECTURES=native on this machine.");
        }
        resources_ = std::make_unique<Resources>(geometry_, signature_.direction, hostTaps());
    }
    return *resources_;
}

IPluginV3* Plugin::attachToContext(IPluginResourceContext* /*context*/) noexcept
{
    std::unique_ptr<Plugin> attached;
    bool const done = guarded(signature_.name, [&] {
        attached = copy();
        static_cast<void>(attached->resources());
    });
    return done ? attached.release() : nullptr;
}

std::int32_t Plugin::onShapeChange(
    PluginTensorDesc const* in, std::int32_t inputs, PluginTensorDesc const* out, std::int32_t outputs) noexcept
{
    // Comes after any change of a shape or an address: a look-up where the plan is there.
    bool const done = guarded(signature_.name, [&] {
        checkCounts(inputs, outputs);
        TensorDims const dims = gather(signature_, in, out);
        checkDims(dims);
        if (planRows(dims, 0) > 0)
        {
            Resources& own = resources();
            own.plans.prepare(planRows(dims, own.cache_bytes));
        }
    });
    return done ? kSuccess : kFailure;
}

std::int32_t Plugin::enqueue(PluginTensorDesc const* in, PluginTensorDesc const* out, void const* const* inputs,
    void* const* outputs, void* workspace, cudaStream_t stream) noexcept
{
    bool const done = guarded(signature_.name, [&] {
        TensorDims const dims = gather(signature_, in, out);
        if (planRows(dims, 0) == 0)
        {
            return; // no window or no source: no output either, and addresses may be null
        }
        if (resources_ == nullptr)
        {
            fail("enqueue", "a plugin without context", "one that attachToContext returned", kShapeAdvice);
        }
        for (std::int32_t i = 0; i < signature_.inputs; ++i)
        {
            checkPointer("input", inputs[i]);
        }
        for (std::int32_t i = 0; i < signature_.outputs; ++i)
        {
            checkPointer("output", outputs[i]);
        }
        checkPointer("workspace", workspace);
        std::int32_t const network = networkTensor();
        DataType const type = network < signature_.inputs ? in[network].type : out[network - signature_.inputs].type;
        run({dims, inputs, outputs, static_cast<char*>(workspace), stream}, type, *resources_);
    });
    return done ? kSuccess : kFailure;
}

PluginFieldCollection const* Plugin::getFieldsToSerialize() noexcept
{
    bool const done = guarded(signature_.name, [&] {
        fields_ = attributes(); // kept: what is returned must outlive the call
        collection_ = {static_cast<std::int32_t>(fields_.size()), fields_.data()};
    });
    return done ? &collection_ : nullptr;
}

} // namespace sgn
