// Plans of cuFFT: one per number of rows, made outside enqueue, kept as long as their context.
#pragma once

#include "device_api.h"
#include "fft_api.h"
#include "geometry.h"

#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <vector>

namespace sgn
{

enum class FftDirection
{
    kRealToComplex,
    kComplexToReal,
};

// What cuFFT wanted for a plan, beside what was reserved for it.
struct FftWork
{
    std::int64_t rows;
    std::int64_t reserved_bytes; // fftWorkBytes()
    std::int64_t wanted_bytes;
};

// Of this process's plans, the one that wanted the most of what was reserved for it; rows are 0 where there was none.
FftWork mostFftWork() noexcept;

// Memory that the plans of a context share, as only one runs at a time, where the estimate does not suffice. It grows;
// what was given out stays, because captured CUDA graphs refer to it, and doubling bounds that by what is in use.
class WorkArea
{
public:
    void* atLeast(std::size_t bytes);

private:
    std::vector<DeviceBuffer> buffers_; // the last one is the largest
    std::size_t size_{};
};

// In-place transform of rows of rowFloats() floats.
class FftPlan
{
public:
    FftPlan(StftGeometry const& geometry, FftDirection direction, std::int64_t rows, WorkArea& shared);
    ~FftPlan();
    FftPlan(FftPlan const&) = delete;
    FftPlan& operator=(FftPlan const&) = delete;

    // work has fftWorkBytes() bytes. Neither allocates nor synchronises.
    void execute(float* data, void* work, cudaStream_t stream) const;

private:
    FftHandle handle_{};
    FftDirection direction_;
    void* own_work_{}; // where cuFFT wants more than fftWorkBytes()
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
    WorkArea work_;
    std::map<std::int64_t, FftPlan> plans_; // nodes stay where they are when others are added
};

} // namespace sgn
