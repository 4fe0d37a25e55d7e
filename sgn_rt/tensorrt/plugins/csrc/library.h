#pragma once

#include "interface.h"

#include <NvInferRuntime.h>

#include <cstdint>

extern "C" SGN_RT_EXPORT nvinfer1::IPluginCreatorInterface* const* getCreators(std::int32_t& count);
extern "C" SGN_RT_EXPORT void setLoggerFinder(nvinfer1::ILoggerFinder* finder);
