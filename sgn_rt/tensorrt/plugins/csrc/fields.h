// Attributes of an operation, as TensorRT hands them in and takes them back.
#pragma once

#include <NvInferRuntime.h>

#include <cstdint>
#include <vector>

namespace sgn
{

// What an attribute may be. Every attribute is one INT32 or one FLOAT32.
struct FieldSpec
{
    char const* name;
    nvinfer1::PluginFieldType type;
    double minimum; // inclusive
    double maximum; // inclusive
    bool required;
};

// Values of the attributes of one node, in the order of their specifications; an absent optional one is 0.
// TensorRT checks neither types nor lengths: a float given for an integer arrives as its bits.
class Fields
{
public:
    // Throws an Error for an attribute that is missing, unknown, given twice, or of the wrong type, length or range.
    template <std::size_t Size>
    Fields(FieldSpec const (&specs)[Size], nvinfer1::PluginFieldCollection const* given)
        : Fields(specs, Size, given)
    {
    }

    std::int32_t integer(std::size_t index) const
    {
        return static_cast<std::int32_t>(values_.at(index));
    }
    float real(std::size_t index) const
    {
        return static_cast<float>(values_.at(index));
    }

private:
    Fields(FieldSpec const* specs, std::size_t size, nvinfer1::PluginFieldCollection const* given);

    std::vector<double> values_;
};

// What getFieldNames answers.
template <std::size_t Size>
std::vector<nvinfer1::PluginField> declarations(FieldSpec const (&specs)[Size])
{
    std::vector<nvinfer1::PluginField> fields;
    for (FieldSpec const& spec : specs)
    {
        fields.emplace_back(spec.name, nullptr, spec.type, 1);
    }
    return fields;
}

} // namespace sgn
