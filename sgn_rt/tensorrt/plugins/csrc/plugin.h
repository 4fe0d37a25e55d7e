// What both operations have in common: everything TensorRT asks of an IPluginV3, with every entry guarded and every
// argument checked, above a few functions that an operation defines.
#pragma once

#include "fft_plan.h"
#include "fields.h"
#include "geometry.h"
#include "tables.h"

#include <NvInferRuntime.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

namespace sgn
{

constexpr char const* kPluginNamespace = "sgn";
constexpr char const* kPluginVersion = "1";
constexpr std::int32_t kMaximumTensors = 3; // inputs and outputs of an operation together

using TensorDims = std::array<nvinfer1::Dims, kMaximumTensors>; // inputs, then outputs

// Attributes that both operations have, and their positions at the front of the specifications.
enum GeometryField : std::size_t
{
    kNFft,
    kHopLength,
    kWindowLength,
    kFrequencyBins,
    kGeometryFields,
};

StftGeometry geometryFrom(Fields const& fields);

struct Signature
{
    char const* name;
    std::int32_t inputs;
    std::int32_t outputs;
    FftDirection direction;
};

struct Call
{
    TensorDims const& dims;
    void const* const* inputs;
    void* const* outputs;
    char* workspace;
    cudaStream_t stream;
};

// Device memory and plans of one execution context.
struct Resources
{
    Resources(StftGeometry const& geometry, FftDirection direction, std::vector<FrequencyTap> const& host_taps);

    std::int64_t cache_bytes; // of the device
    DeviceBuffer tables;
    float const* window;
    FrequencyTap const* taps;
    FftPlans plans;
};

class Plugin : public nvinfer1::IPluginV3,
               public nvinfer1::IPluginV3OneCore,
               public nvinfer1::IPluginV3OneBuild,
               public nvinfer1::IPluginV3OneRuntime
{
public:
    Plugin(Signature const& signature, StftGeometry const& geometry, std::int32_t log_bins);

    nvinfer1::IPluginCapability* getCapabilityInterface(nvinfer1::PluginCapabilityType type) noexcept final;
    nvinfer1::IPluginV3* clone() noexcept final;

    nvinfer1::AsciiChar const* getPluginName() const noexcept final;
    nvinfer1::AsciiChar const* getPluginVersion() const noexcept final;
    nvinfer1::AsciiChar const* getPluginNamespace() const noexcept final;

    std::int32_t getNbOutputs() const noexcept final;
    std::int32_t getOutputDataTypes(nvinfer1::DataType* output_types, std::int32_t outputs,
        nvinfer1::DataType const* input_types, std::int32_t inputs) const noexcept final;
    std::int32_t getOutputShapes(nvinfer1::DimsExprs const* in, std::int32_t inputs,
        nvinfer1::DimsExprs const* shape_inputs, std::int32_t shape_input_count, nvinfer1::DimsExprs* out,
        std::int32_t outputs, nvinfer1::IExprBuilder& builder) noexcept final;
    bool supportsFormatCombination(std::int32_t position, nvinfer1::DynamicPluginTensorDesc const* tensors,
        std::int32_t inputs, std::int32_t outputs) noexcept final;
    std::int32_t configurePlugin(nvinfer1::DynamicPluginTensorDesc const* in, std::int32_t inputs,
        nvinfer1::DynamicPluginTensorDesc const* out, std::int32_t outputs) noexcept final;
    std::size_t getWorkspaceSize(nvinfer1::DynamicPluginTensorDesc const* in, std::int32_t inputs,
        nvinfer1::DynamicPluginTensorDesc const* out, std::int32_t outputs) const noexcept final;

    nvinfer1::IPluginV3* attachToContext(nvinfer1::IPluginResourceContext* context) noexcept final;
    std::int32_t onShapeChange(nvinfer1::PluginTensorDesc const* in, std::int32_t inputs,
        nvinfer1::PluginTensorDesc const* out, std::int32_t outputs) noexcept final;
    std::int32_t enqueue(nvinfer1::PluginTensorDesc const* in, nvinfer1::PluginTensorDesc const* out,
        void const* const* inputs, void* const* outputs, void* workspace, cudaStream_t stream) noexcept final;
    nvinfer1::PluginFieldCollection const* getFieldsToSerialize() noexcept final;

protected:
    StftGeometry const& geometry() const noexcept
    {
        return geometry_;
    }
    std::int32_t logBins() const noexcept
    {
        return log_bins_;
    }

private:
    // A plugin with the same attributes and without resources.
    virtual std::unique_ptr<Plugin> copy() const = 0;
    virtual std::vector<nvinfer1::PluginField> attributes() const = 0; // pointing into this object
    virtual std::vector<FrequencyTap> hostTaps() const = 0;
    virtual cudaError_t loadKernels() const = 0;
    virtual bool supports(std::int32_t position, nvinfer1::DataType type) const noexcept = 0;
    virtual nvinfer1::DataType outputType(std::int32_t output) const noexcept = 0;
    virtual void inferShapes(
        nvinfer1::DimsExprs const* in, nvinfer1::DimsExprs* out, nvinfer1::IExprBuilder& builder) const = 0;
    // Throws an Error for dimensions that cannot be; -1 is an unknown one.
    virtual void checkDims(TensorDims const& dims) const = 0;
    // Monotonic in every dimension, as TensorRT reserves what the largest need.
    virtual std::size_t workspaceBytes(TensorDims const& dims) const = 0;
    // Rows that the FFT works off at once where the device has such a cache; 0: nothing to transform.
    virtual std::int64_t planRows(TensorDims const& dims, std::int64_t cache_bytes) const = 0;
    virtual void run(Call const& call, nvinfer1::DataType network_type, Resources const& resources) const = 0;
    virtual std::int32_t networkTensor() const noexcept = 0; // position of the one that may be float16

    void checkCounts(std::int32_t inputs, std::int32_t outputs) const;
    Resources& resources();

    Signature signature_;
    StftGeometry geometry_;
    std::int32_t log_bins_;
    std::vector<nvinfer1::PluginField> fields_;
    nvinfer1::PluginFieldCollection collection_{};
    std::mutex resources_mutex_;
    std::unique_ptr<Resources> resources_;
};

// Throws an Error unless the dimension is unknown (-1) or the one wanted.
void checkDim(char const* what, std::int64_t got, std::int64_t expected);
void checkRank(char const* what, std::int32_t got, std::int32_t expected);
void checkRange(char const* what, std::int64_t got, std::int64_t minimum, std::int64_t maximum);
void checkLaunch(cudaError_t error, char const* kernel);

} // namespace sgn
