# The driver on the library that ships: its kernels by nvcc, cuFFT, memory of the GPU.
enable_language(CUDA)
find_package(CUDAToolkit REQUIRED)
set(SGN_RT_CUDA_ARCHITECTURES "native" CACHE STRING "As CMAKE_CUDA_ARCHITECTURES")

add_library(sgn_rt_plugins_gpu SHARED
  ${SGN_RT_PLUGIN_SOURCES} ${SGN_RT_PLUGIN_KERNELS} ${SGN_RT_PLUGIN_DEVICE_SOURCES} driver.cpp gpu_api.cpp)
target_compile_features(sgn_rt_plugins_gpu PRIVATE cxx_std_17 cuda_std_17)
target_include_directories(sgn_rt_plugins_gpu PRIVATE "${CMAKE_CURRENT_SOURCE_DIR}" "${csrc}")
target_include_directories(sgn_rt_plugins_gpu SYSTEM PRIVATE "${SGN_RT_TENSORRT_INCLUDE_DIR}")
target_compile_definitions(sgn_rt_plugins_gpu PRIVATE
  SGN_RT_VERSION="${SGN_RT_VERSION}" SGN_RT_CHUNK_BYTES=4194304)
target_compile_options(sgn_rt_plugins_gpu PRIVATE
  $<$<COMPILE_LANGUAGE:CXX>:-Wall -Wextra -Werror> $<$<COMPILE_LANGUAGE:CUDA>:-Werror=all-warnings>)
target_link_libraries(sgn_rt_plugins_gpu PRIVATE CUDA::cudart_static ${CMAKE_DL_LIBS})
set_target_properties(sgn_rt_plugins_gpu PROPERTIES
  CUDA_ARCHITECTURES "${SGN_RT_CUDA_ARCHITECTURES}"
  CXX_VISIBILITY_PRESET hidden
  CUDA_VISIBILITY_PRESET hidden)
