#include "fft_plan.h"

#include "status.h"

#include <algorithm>
#include <string>

namespace sgn
{
namespace
{

void checkFft(FftResult result, char const* what)
{
    if (result != kFftSuccess)
    {
        fail(what, "cufftResult " + std::to_string(result), "0",
            "Look the number up in cufft.h; 2 and 5 point to memory or driver, 17 to a length it cannot do.");
    }
}

std::mutex work_mutex;
FftWork most_work{};

void record(FftWork const& work)
{
    std::lock_guard<std::mutex> const lock(work_mutex);
    auto const share = [](FftWork const& of) {
        return static_cast<double>(of.wanted_bytes) / static_cast<double>(of.reserved_bytes);
    };
    if (most_work.rows == 0 || share(work) > share(most_work))
    {
        most_work = work;
    }
}

} // namespace

FftWork mostFftWork() noexcept
{
    std::lock_guard<std::mutex> const lock(work_mutex);
    return most_work;
}

void* WorkArea::atLeast(std::size_t bytes)
{
    if (bytes > size_)
    {
        std::size_t const size = std::max(bytes, 2 * size_);
        buffers_.emplace_back(size);
        size_ = size;
    }
    return buffers_.back().get();
}

FftPlan::FftPlan(StftGeometry const& geometry, FftDirection direction, std::int64_t rows, WorkArea& shared)
    : direction_(direction)
{
    FftApi const& fft = fftApi();
    checkFft(fft.create(&handle_), "cufftCreate");
    try
    {
        checkFft(fft.setAutoAllocation(handle_, 0), "cufftSetAutoAllocation");
        long long length = geometry.n_fft;
        long long real = geometry.rowFloats();
        long long complex = geometry.bins();
        bool const forward = direction == FftDirection::kRealToComplex;
        std::size_t work_bytes = 0;
        checkFft(fft.makePlanMany(handle_, 1, &length, forward ? &real : &complex, 1, forward ? real : complex,
                     forward ? &complex : &real, 1, forward ? complex : real,
                     forward ? kFftRealToComplex : kFftComplexToReal, rows, &work_bytes),
            "cufftMakePlanMany64");
        std::size_t const reserved = fftWorkBytes(geometry, rows);
        record({rows, static_cast<std::int64_t>(reserved), static_cast<std::int64_t>(work_bytes)});
        if (work_bytes > reserved)
        {
            own_work_ = shared.atLeast(work_bytes);
        }
    }
    catch (...)
    {
        static_cast<void>(fft.destroy(handle_)); // the first failure is the one to report
        throw;
    }
}

FftPlan::~FftPlan()
{
    static_cast<void>(fftApi().destroy(handle_)); // nothing can be done about a failure here
}

void FftPlan::execute(float* data, void* work, cudaStream_t stream) const
{
    FftApi const& fft = fftApi();
    checkFft(fft.setStream(handle_, stream), "cufftSetStream");
    checkFft(fft.setWorkArea(handle_, own_work_ != nullptr ? own_work_ : work), "cufftSetWorkArea");
    auto* const complex = reinterpret_cast<float2*>(data);
    if (direction_ == FftDirection::kRealToComplex)
    {
        checkFft(fft.execRealToComplex(handle_, data, complex), "cufftExecR2C");
    }
    else
    {
        checkFft(fft.execComplexToReal(handle_, complex, data), "cufftExecC2R");
    }
}

FftPlans::FftPlans(StftGeometry const& geometry, FftDirection direction) noexcept
    : geometry_(geometry)
    , direction_(direction)
{
}

void FftPlans::prepare(std::int64_t rows)
{
    std::lock_guard<std::mutex> const lock(mutex_);
    plans_.try_emplace(rows, geometry_, direction_, rows, work_);
}

FftPlan const& FftPlans::at(std::int64_t rows) const
{
    std::lock_guard<std::mutex> const lock(mutex_);
    auto const plan = plans_.find(rows);
    if (plan == plans_.end())
    {
        fail("FFT plan", "a call with " + std::to_string(rows) + " rows", "rows announced by onShapeChange",
            "Set the input shapes of the execution context before enqueueing.");
    }
    return plan->second;
}

} // namespace sgn
