// Plans of cuFFT: one per number of rows, made outside enqueue, kept as long as their context.
#pragma once

#include "device_api.h"
#include "fft_api.h"
#include "geometry.h"

#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>

namespace sgn
{

enum class FftDirection
{
    kRealToComplex,
    kComplexToReal,
};

// In-place transform of rows of rowFloats() floats.
class FftPlan
{
public:
    FftPlan(StftGeometry const& geometry, FftDirection direction, std::int64_t rows);
    ~FftPlan();
    FftPlan(FftPlan const&) = delete;
    FftPlan& operator=(FftPlan const&) = delete;

    // work has fftWorkBytes() bytes. Neither allocates nor synchronises.
    void execute(float* data, void* work, cudaStream_t stream) const;

private:
    FftHandle handle_{};
    FftDirection direction_;
    DeviceBuffer own_work_; // where cuFFT wants more than fftWorkBytes()
};

// The plans of one execution context. A plan is never dropped before its context: CUDA graphs captured with it refer
// to its tables and work area.
class FftPlans
{
public:
    FftPlans(StftGeometry const& geometry, FftDirection direction) noexcept;

    // Makes the plan unless it is there. Called when shapes change, possibly beside another thread's call.
    void prepare(std::int64_t rows);

    // The plan made for that many rows. Throws an Error where there is none.
    FftPlan const& at(std::int64_t rows) const;

private:
    StftGeometry geometry_;
    FftDirection direction_;
    mutable std::mutex mutex_;
    std::map<std::int64_t, FftPlan> plans_; // nodes stay where they are when others are added
};

} // namespace sgn
