#include "fft_plan.h"

#include "status.h"

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

} // namespace

FftPlan::FftPlan(StftGeometry const& geometry, FftDirection direction, std::int64_t rows)
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
        if (work_bytes > fftWorkBytes(geometry, rows))
        {
            own_work_ = DeviceBuffer(work_bytes);
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
    checkFft(fft.setWorkArea(handle_, own_work_.get() != nullptr ? own_work_.get() : work), "cufftSetWorkArea");
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
    plans_.try_emplace(rows, geometry_, direction_, rows);
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
