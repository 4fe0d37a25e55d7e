#include "stft_plugin.h"

#include "kernels.h"
#include "status.h"

#include <cuda_fp16.h>

#include <algorithm>
#include <cfloat>

namespace sgn
{
namespace
{

using nvinfer1::DataType;
using nvinfer1::PluginField;
using nvinfer1::PluginFieldType;

constexpr Signature kSignature{StftPlugin::kName, 1, 2, FftDirection::kRealToComplex};

// Values of onnx.TensorProto.DataType.
constexpr std::int32_t kOnnxFloat = 1;
constexpr std::int32_t kOnnxFloat16 = 10;

enum Dimension : std::int32_t
{
    kBatch = 0,
    kSamples = 1,
    kFrames = 1, // of the spectrum
    kBins = 2,
    kParts = 3,
};

} // namespace

FieldSpec const StftPlugin::kFields[6] = {
    {"n_fft", PluginFieldType::kINT32, 4, kMaximumSize, true},
    {"hop_length", PluginFieldType::kINT32, 1, kMaximumSize, true},
    {"window_length", PluginFieldType::kINT32, 2, kMaximumSize, false},
    {"frequency_bins", PluginFieldType::kINT32, 2, kMaximumSize, true},
    {"log_epsilon", PluginFieldType::kFLOAT32, FLT_MIN, 1.0, true},
    {"dtype", PluginFieldType::kINT32, kOnnxFloat, kOnnxFloat16, true},
};

StftPlugin::StftPlugin(Fields const& fields)
    : StftPlugin([&fields] {
        StftGeometry const geometry = geometryFrom(fields);
        return Attributes{geometry.n_fft, geometry.hop_length, geometry.window_length, fields.integer(kFrequencyBins),
            fields.real(kLogEpsilon), fields.integer(kDtype)};
    }())
{
    if (attributes_.dtype != kOnnxFloat && attributes_.dtype != kOnnxFloat16)
    {
        fail("attribute dtype", std::to_string(attributes_.dtype), "1 (float32) or 10 (float16)",
            "Export the graph again with this version of sgn-rt.");
    }
}

StftPlugin::StftPlugin(Attributes const& attributes)
    : Plugin(kSignature, {attributes.n_fft, attributes.hop_length, attributes.window_length}, attributes.frequency_bins)
    , attributes_(attributes)
{
}

std::unique_ptr<Plugin> StftPlugin::copy() const
{
    return std::unique_ptr<Plugin>(new StftPlugin(attributes_));
}

std::vector<PluginField> StftPlugin::attributes() const
{
    return {
        {kFields[kNFft].name, &attributes_.n_fft, PluginFieldType::kINT32, 1},
        {kFields[kHopLength].name, &attributes_.hop_length, PluginFieldType::kINT32, 1},
        {kFields[kWindowLength].name, &attributes_.window_length, PluginFieldType::kINT32, 1},
        {kFields[kFrequencyBins].name, &attributes_.frequency_bins, PluginFieldType::kINT32, 1},
        {kFields[kLogEpsilon].name, &attributes_.log_epsilon, PluginFieldType::kFLOAT32, 1},
        {kFields[kDtype].name, &attributes_.dtype, PluginFieldType::kINT32, 1},
    };
}

std::vector<FrequencyTap> StftPlugin::hostTaps() const
{
    return logFromLinearTaps(geometry().bins(), logBins());
}

cudaError_t StftPlugin::loadKernels() const
{
    return loadStftKernels();
}

std::int32_t StftPlugin::networkTensor() const noexcept
{
    return kLogMagnitude;
}

bool StftPlugin::supports(std::int32_t position, DataType type) const noexcept
{
    return type == (position == kLogMagnitude ? outputType(1) : DataType::kFLOAT);
}

DataType StftPlugin::outputType(std::int32_t output) const noexcept
{
    bool const half = output == 1 && attributes_.dtype == kOnnxFloat16;
    return half ? DataType::kHALF : DataType::kFLOAT;
}

void StftPlugin::inferShapes(
    nvinfer1::DimsExprs const* in, nvinfer1::DimsExprs* out, nvinfer1::IExprBuilder& builder) const
{
    using nvinfer1::DimensionOperation;
    checkRank("mixture", in[kMixture].nbDims, 2);
    nvinfer1::IDimensionExpr const* const batch = in[kMixture].d[kBatch];
    // floor((N + 2 padding - n_fft) / hop) + 1
    nvinfer1::IDimensionExpr const* const samples = in[kMixture].d[kSamples];
    auto const* const centred = builder.operation(
        DimensionOperation::kSUM, *samples, *builder.constant(2 * geometry().padding() - geometry().n_fft));
    auto const* const steps
        = builder.operation(DimensionOperation::kFLOOR_DIV, *centred, *builder.constant(geometry().hop_length));
    auto const* const frames = builder.operation(DimensionOperation::kSUM, *steps, *builder.constant(1));

    nvinfer1::DimsExprs& spectrum = out[kSpectrum - 1];
    spectrum.nbDims = 4;
    spectrum.d[kBatch] = batch;
    spectrum.d[kFrames] = frames;
    spectrum.d[kBins] = builder.constant(geometry().bins());
    spectrum.d[kParts] = builder.constant(2);

    nvinfer1::DimsExprs& log_magnitude = out[kLogMagnitude - 1];
    log_magnitude.nbDims = 4;
    log_magnitude.d[0] = batch;
    log_magnitude.d[1] = builder.constant(1);
    log_magnitude.d[2] = builder.constant(logBins());
    log_magnitude.d[3] = frames;
}

void StftPlugin::checkDims(TensorDims const& dims) const
{
    nvinfer1::Dims const& mixture = dims[kMixture];
    nvinfer1::Dims const& spectrum = dims[kSpectrum];
    nvinfer1::Dims const& log_magnitude = dims[kLogMagnitude];
    checkRank("mixture", mixture.nbDims, 2);
    checkRank("spectrum", spectrum.nbDims, 4);
    checkRank("log_magnitude", log_magnitude.nbDims, 4);
    checkRange("batch", mixture.d[kBatch], 0, kMaximumBatch);
    // One reflection must reach over the padding.
    checkRange("samples", mixture.d[kSamples], geometry().padding() + 1, kMaximumSamples);
    checkDim("bins of spectrum", spectrum.d[kBins], geometry().bins());
    checkDim("last dimension of spectrum", spectrum.d[kParts], 2);
    checkDim("channels of log_magnitude", log_magnitude.d[1], 1);
    checkDim("bins of log_magnitude", log_magnitude.d[2], logBins());
    if (mixture.d[kBatch] >= 0)
    {
        checkDim("batch of spectrum", spectrum.d[kBatch], mixture.d[kBatch]);
        checkDim("batch of log_magnitude", log_magnitude.d[0], mixture.d[kBatch]);
    }
    if (mixture.d[kSamples] >= 0)
    {
        std::int64_t const frames = geometry().frames(mixture.d[kSamples]);
        checkRange("frames of all windows", mixture.d[kBatch] >= 0 ? mixture.d[kBatch] * frames : -1, 0, kMaximumRows);
        checkDim("frames of spectrum", spectrum.d[kFrames], frames);
        checkDim("frames of log_magnitude", log_magnitude.d[3], frames);
    }
}

Chunks StftPlugin::chunks(TensorDims const& dims, std::int64_t cache_bytes) const
{
    nvinfer1::Dims const& mixture = dims[kMixture];
    std::int64_t const rows = mixture.d[kBatch] * geometry().frames(mixture.d[kSamples]);
    return chunksOf(rows, chunkCapacity(geometry(), 1, cache_bytes));
}

std::int64_t StftPlugin::planRows(TensorDims const& dims, std::int64_t cache_bytes) const
{
    return chunks(dims, cache_bytes).size;
}

std::size_t StftPlugin::workspaceBytes(TensorDims const& dims) const
{
    Chunks const all = chunks(dims, 0);
    // On any device; and not the chunk of these dimensions: smaller ones may divide into larger chunks.
    return fftWorkBytes(geometry(), std::min(all.items, chunkCapacity(geometry(), 1, 0)));
}

void StftPlugin::run(Call const& call, DataType network_type, Resources const& resources) const
{
    nvinfer1::Dims const& mixture = call.dims[kMixture];
    auto* const rows = static_cast<float*>(call.outputs[kSpectrum - 1]);
    Chunks const all = chunks(call.dims, resources.cache_bytes);
    FftPlan const& plan = resources.plans.at(all.size);
    FramingArguments framing{};
    framing.mixture = static_cast<float const*>(call.inputs[kMixture]);
    framing.window = resources.window;
    framing.rows = rows;
    framing.samples = static_cast<int>(mixture.d[kSamples]);
    framing.frames = static_cast<int>(geometry().frames(mixture.d[kSamples]));
    framing.hop_length = geometry().hop_length;
    framing.padding = geometry().padding();
    framing.pairs = geometry().bins();
    for (std::int64_t i = 0; i < all.count; ++i)
    {
        framing.first_row = static_cast<int>(all.first(i));
        checkLaunch(launchFraming(framing, all.size, call.stream), "framing kernel");
        plan.execute(rows + all.first(i) * geometry().rowFloats(), call.workspace, call.stream);
    }
    if (network_type == DataType::kHALF)
    {
        storeLogMagnitude<__half>(call, resources);
    }
    else
    {
        storeLogMagnitude<float>(call, resources);
    }
}

template <typename Value>
void StftPlugin::storeLogMagnitude(Call const& call, Resources const& resources) const
{
    nvinfer1::Dims const& mixture = call.dims[kMixture];
    LogMagnitudeArguments<Value> arguments{};
    arguments.spectrum = static_cast<float2 const*>(call.outputs[kSpectrum - 1]);
    arguments.taps = resources.taps;
    arguments.log_magnitude = static_cast<Value*>(call.outputs[kLogMagnitude - 1]);
    arguments.epsilon = attributes_.log_epsilon;
    arguments.bins = geometry().bins();
    arguments.log_bins = logBins();
    arguments.frames = static_cast<int>(geometry().frames(mixture.d[kSamples]));
    checkLaunch(launchLogMagnitude(arguments, mixture.d[kBatch], call.stream), "log-magnitude kernel");
}

} // namespace sgn
