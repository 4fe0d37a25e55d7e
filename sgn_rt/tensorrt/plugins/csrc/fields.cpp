#include "fields.h"

#include "status.h"

#include <cmath>
#include <cstring>
#include <string>

namespace sgn
{
namespace
{

using nvinfer1::PluginField;
using nvinfer1::PluginFieldType;

constexpr char const* kAdvice = "Export the graph, or build the engine, again with this version of sgn-rt.";

std::string text(double value)
{
    char digits[32];
    std::snprintf(digits, sizeof digits, "%.9g", value);
    return digits;
}

template <typename Number>
Number read(PluginField const& field)
{
    Number number; // the data of a deserialised field need not be aligned
    std::memcpy(&number, field.data, sizeof number);
    return number;
}

double value(FieldSpec const& spec, PluginField const& field)
{
    std::string const what = std::string("attribute ") + spec.name;
    if (field.type != spec.type)
    {
        fail(what, "field type " + std::to_string(static_cast<int>(field.type)),
            spec.type == PluginFieldType::kINT32 ? "an INT32" : "a FLOAT32", kAdvice);
    }
    if (field.length != 1 || field.data == nullptr)
    {
        fail(what, field.data == nullptr ? "no data" : std::to_string(field.length) + " values", "one value", kAdvice);
    }
    double const number = spec.type == PluginFieldType::kINT32 ? static_cast<double>(read<std::int32_t>(field))
                                                               : static_cast<double>(read<float>(field));
    if (!(number >= spec.minimum && number <= spec.maximum)) // written so that NaN fails
    {
        fail(what, text(number), text(spec.minimum) + " to " + text(spec.maximum), kAdvice);
    }
    return number;
}

} // namespace

Fields::Fields(FieldSpec const* specs, std::size_t size, nvinfer1::PluginFieldCollection const* given)
    : values_(size, 0.0)
{
    if (given == nullptr || given->nbFields < 0 || (given->nbFields > 0 && given->fields == nullptr))
    {
        fail("attributes", "no valid field collection", "one", kAdvice);
    }
    std::vector<bool> found(size, false);
    for (std::int32_t i = 0; i < given->nbFields; ++i)
    {
        PluginField const& field = given->fields[i];
        char const* const name = field.name != nullptr ? field.name : "";
        std::size_t index = 0;
        while (index < size && std::strcmp(specs[index].name, name) != 0)
        {
            ++index;
        }
        // TensorRT hands over declared attributes alone, so another one comes from another version's engine.
        if (index == size || found[index])
        {
            constexpr std::size_t kLongestQuoted = 64;
            fail("attribute " + std::string(name, strnlen(name, kLongestQuoted)),
                index == size ? "an unknown name" : "it twice", "every declared attribute once", kAdvice);
        }
        values_[index] = value(specs[index], field);
        found[index] = true;
    }
    for (std::size_t index = 0; index < size; ++index)
    {
        if (specs[index].required && !found[index])
        {
            fail(std::string("attribute ") + specs[index].name, "nothing", "a value", kAdvice);
        }
    }
}

} // namespace sgn
