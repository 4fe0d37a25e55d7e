#pragma once

#include <NvInferRuntime.h>

#include <cstdint>

#define SGN_RT_EXPORT __attribute__((visibility("default")))

extern "C" SGN_RT_EXPORT nvinfer1::IPluginCreatorInterface* const* getCreators(std::int32_t& count);
extern "C" SGN_RT_EXPORT void setLoggerFinder(nvinfer1::ILoggerFinder* finder);
extern "C" SGN_RT_EXPORT char const* sgn_rt_plugin_version();
