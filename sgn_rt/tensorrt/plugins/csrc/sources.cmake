# Sources of the plugin library; the host test build takes all but the last list, which it replaces.
set(SGN_RT_PLUGIN_SOURCES
  ${CMAKE_CURRENT_LIST_DIR}/device_buffer.cpp
  ${CMAKE_CURRENT_LIST_DIR}/fft_plan.cpp
  ${CMAKE_CURRENT_LIST_DIR}/fields.cpp
  ${CMAKE_CURRENT_LIST_DIR}/geometry.cpp
  ${CMAKE_CURRENT_LIST_DIR}/istft_plugin.cpp
  ${CMAKE_CURRENT_LIST_DIR}/library.cpp
  ${CMAKE_CURRENT_LIST_DIR}/plugin.cpp
  ${CMAKE_CURRENT_LIST_DIR}/status.cpp
  ${CMAKE_CURRENT_LIST_DIR}/stft_plugin.cpp
  ${CMAKE_CURRENT_LIST_DIR}/tables.cpp)
set(SGN_RT_PLUGIN_KERNELS
  ${CMAKE_CURRENT_LIST_DIR}/istft_kernels.cu
  ${CMAKE_CURRENT_LIST_DIR}/stft_kernels.cu)
set(SGN_RT_PLUGIN_DEVICE_SOURCES
  ${CMAKE_CURRENT_LIST_DIR}/device_api_cuda.cpp
  ${CMAKE_CURRENT_LIST_DIR}/fft_api_cufft.cpp)
