#include "istft_plugin.h"

#include "kernels.h"
#include "status.h"

#include <cuda_fp16.h>

#include <algorithm>

namespace sgn
{
namespace
{

using nvinfer1::DataType;
using nvinfer1::PluginField;
using nvinfer1::PluginFieldType;

constexpr Signature kSignature{IstftPlugin::kName, 2, 1, FftDirection::kComplexToReal};

} // namespace

FieldSpec const IstftPlugin::kFields[5] = {
    {"n_fft", PluginFieldType::kINT32, 4, kMaximumSize, true},
    {"hop_length", PluginFieldType::kINT32, 1, kMaximumSize, true},
    {"window_length", PluginFieldType::kINT32, 2, kMaximumSize, false},
    {"frequency_bins", PluginFieldType::kINT32, 2, kMaximumSize, true},
    {"samples", PluginFieldType::kINT32, 1, kMaximumSamples, true},
};

IstftPlugin::IstftPlugin(Fields const& fields)
    : IstftPlugin([&fields] {
        StftGeometry const geometry = geometryFrom(fields);
        return Attributes{geometry.n_fft, geometry.hop_length, geometry.window_length, fields.integer(kFrequencyBins),
            fields.integer(kSamples)};
    }())
{
    checkRange("attribute samples", attributes_.samples, geometry().padding() + 1, kMaximumSamples);
}

IstftPlugin::IstftPlugin(Attributes const& attributes)
    : Plugin(kSignature, {attributes.n_fft, attributes.hop_length, attributes.window_length}, attributes.frequency_bins)
    , attributes_(attributes)
{
}

std::unique_ptr<Plugin> IstftPlugin::copy() const
{
    return std::unique_ptr<Plugin>(new IstftPlugin(attributes_));
}

std::vector<PluginField> IstftPlugin::attributes() const
{
    return {
        {kFields[kNFft].name, &attributes_.n_fft, PluginFieldType::kINT32, 1},
        {kFields[kHopLength].name, &attributes_.hop_length, PluginFieldType::kINT32, 1},
        {kFields[kWindowLength].name, &attributes_.window_length, PluginFieldType::kINT32, 1},
        {kFields[kFrequencyBins].name, &attributes_.frequency_bins, PluginFieldType::kINT32, 1},
        {kFields[kSamples].name, &attributes_.samples, PluginFieldType::kINT32, 1},
    };
}

std::vector<FrequencyTap> IstftPlugin::hostTaps() const
{
    return linearFromLogTaps(geometry().bins(), logBins());
}

cudaError_t IstftPlugin::loadKernels() const
{
    return loadIstftKernels();
}

std::int32_t IstftPlugin::networkTensor() const noexcept
{
    return kMasks;
}

bool IstftPlugin::supports(std::int32_t position, DataType type) const noexcept
{
    return type == DataType::kFLOAT || (position == kMasks && type == DataType::kHALF);
}

DataType IstftPlugin::outputType(std::int32_t /*output*/) const noexcept
{
    return DataType::kFLOAT;
}

void IstftPlugin::inferShapes(
    nvinfer1::DimsExprs const* in, nvinfer1::DimsExprs* out, nvinfer1::IExprBuilder& builder) const
{
    checkRank("spectrum", in[kSpectrum].nbDims, 4);
    checkRank("masks", in[kMasks].nbDims, 4);
    out[0].nbDims = 3;
    out[0].d[0] = in[kSpectrum].d[0];
    out[0].d[1] = in[kMasks].d[1];
    out[0].d[2] = builder.constant(attributes_.samples);
}

std::int64_t IstftPlugin::frames() const noexcept
{
    return geometry().frames(attributes_.samples);
}

void IstftPlugin::checkDims(TensorDims const& dims) const
{
    nvinfer1::Dims const& spectrum = dims[kSpectrum];
    nvinfer1::Dims const& masks = dims[kMasks];
    nvinfer1::Dims const& sources = dims[kSources];
    checkRank("spectrum", spectrum.nbDims, 4);
    checkRank("masks", masks.nbDims, 4);
    checkRank("sources", sources.nbDims, 3);
    checkRange("batch", spectrum.d[0], 0, kMaximumBatch);
    checkDim("frames of spectrum", spectrum.d[1], frames());
    checkDim("bins of spectrum", spectrum.d[2], geometry().bins());
    checkDim("last dimension of spectrum", spectrum.d[3], 2);
    checkRange("number of sources", masks.d[1], 0, kMaximumSize);
    checkDim("bins of masks", masks.d[2], logBins());
    checkDim("frames of masks", masks.d[3], frames());
    checkDim("samples of sources", sources.d[2], attributes_.samples);
    if (spectrum.d[0] >= 0)
    {
        checkDim("batch of masks", masks.d[0], spectrum.d[0]);
        checkDim("batch of sources", sources.d[0], spectrum.d[0]);
    }
    if (masks.d[1] >= 0)
    {
        checkRange("sources of all windows", spectrum.d[0] >= 0 ? spectrum.d[0] * masks.d[1] : -1, 0, kMaximumRows);
        checkDim("number of sources", sources.d[1], masks.d[1]);
    }
}

Chunks IstftPlugin::chunks(TensorDims const& dims, std::int64_t cache_bytes) const
{
    return chunksOf(dims[kSpectrum].d[0] * dims[kMasks].d[1], chunkCapacity(geometry(), frames(), cache_bytes));
}

std::int64_t IstftPlugin::planRows(TensorDims const& dims, std::int64_t cache_bytes) const
{
    return chunks(dims, cache_bytes).size * frames();
}

std::size_t IstftPlugin::workspaceBytes(TensorDims const& dims) const
{
    // On any device; and not the chunk of these dimensions: smaller ones may divide into larger chunks.
    std::int64_t const rows = std::min(chunks(dims, 0).items, chunkCapacity(geometry(), frames(), 0)) * frames();
    return aligned(geometry().rowBytes() * static_cast<std::size_t>(rows)) + fftWorkBytes(geometry(), rows);
}

void IstftPlugin::run(Call const& call, DataType network_type, Resources const& resources) const
{
    if (network_type == DataType::kHALF)
    {
        separate<__half>(call, resources);
    }
    else
    {
        separate<float>(call, resources);
    }
}

template <typename Value>
void IstftPlugin::separate(Call const& call, Resources const& resources) const
{
    Chunks const all = chunks(call.dims, resources.cache_bytes);
    std::int64_t const rows = all.size * frames();
    FftPlan const& plan = resources.plans.at(rows);
    auto* const data = reinterpret_cast<float*>(call.workspace);
    char* const work = call.workspace + aligned(geometry().rowBytes() * static_cast<std::size_t>(rows));

    MaskingArguments<Value> masking{};
    masking.spectrum = static_cast<float2 const*>(call.inputs[kSpectrum]);
    masking.masks = static_cast<Value const*>(call.inputs[kMasks]);
    masking.taps = resources.taps;
    masking.rows = reinterpret_cast<float2*>(data);
    masking.sources = static_cast<int>(call.dims[kMasks].d[1]);
    masking.bins = geometry().bins();
    masking.log_bins = logBins();
    masking.frames = static_cast<int>(frames());
    masking.real_last_bin = geometry().n_fft % 2 == 0 ? geometry().bins() - 1 : -1;

    OverlapAddArguments overlap{};
    overlap.rows = data;
    overlap.window = resources.window;
    overlap.sources = static_cast<float*>(call.outputs[0]);
    overlap.samples = attributes_.samples;
    overlap.frames = masking.frames;
    overlap.n_fft = geometry().n_fft;
    overlap.hop_length = geometry().hop_length;
    overlap.row_floats = geometry().rowFloats();

    for (std::int64_t i = 0; i < all.count; ++i)
    {
        masking.first_item = overlap.first_item = static_cast<int>(all.first(i));
        checkLaunch(launchMasking(masking, all.size, call.stream), "masking kernel");
        plan.execute(data, work, call.stream);
        checkLaunch(launchOverlapAdd(overlap, all.size, call.stream), "overlap-add kernel");
    }
}

} // namespace sgn
