// sgn::Stft: waveform to complex spectrum and to the network's input.
#pragma once

#include "plugin.h"

namespace sgn
{

class StftPlugin final : public Plugin
{
public:
    static constexpr char const* kName = "Stft";

    // Inputs, then outputs.
    static constexpr std::int32_t kMixture = 0; // float32 [B, N]
    static constexpr std::int32_t kSpectrum = 1; // float32 [B, T, F, 2]
    static constexpr std::int32_t kLogMagnitude = 2; // float32 or float16 [B, 1, L, T]

    enum Field : std::size_t
    {
        kLogEpsilon = kGeometryFields,
        kDtype, // of log_magnitude, as onnx.TensorProto.DataType
    };
    static FieldSpec const kFields[6];

    explicit StftPlugin(Fields const& fields);

private:
    struct Attributes
    {
        std::int32_t n_fft;
        std::int32_t hop_length;
        std::int32_t window_length;
        std::int32_t frequency_bins;
        float log_epsilon;
        std::int32_t dtype;
    };

    explicit StftPlugin(Attributes const& attributes);

    std::unique_ptr<Plugin> copy() const override;
    std::vector<nvinfer1::PluginField> attributes() const override;
    std::vector<FrequencyTap> hostTaps() const override;
    cudaError_t loadKernels() const override;
    bool supports(std::int32_t position, nvinfer1::DataType type) const noexcept override;
    nvinfer1::DataType outputType(std::int32_t output) const noexcept override;
    void inferShapes(
        nvinfer1::DimsExprs const* in, nvinfer1::DimsExprs* out, nvinfer1::IExprBuilder& builder) const override;
    void checkDims(TensorDims const& dims) const override;
    std::size_t workspaceBytes(TensorDims const& dims) const override;
    std::int64_t planRows(TensorDims const& dims, std::int64_t cache_bytes) const override;
    void run(Call const& call, nvinfer1::DataType network_type, Resources const& resources) const override;
    std::int32_t networkTensor() const noexcept override;

    Chunks chunks(TensorDims const& dims, std::int64_t cache_bytes) const;
    template <typename Value>
    void storeLogMagnitude(Call const& call, Resources const& resources) const;

    Attributes attributes_;
};

} // namespace sgn
