// Sample-rate conversion. Every output is one sum in one order, whatever else a call computes: a signal in blocks gives
// the bits of the signal as a whole.
#include "kernels.h"
#include "launch.h"

#include <cuda_runtime.h>

#include <initializer_list>

namespace sgn
{
namespace
{

constexpr int kThreads = 256;
// Of a multiprocessor's at least, so that reads overlap: bounds the registers. sm_75 has 1024 threads, others 1536.
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 800
constexpr int kBlocks = 4;
#else
constexpr int kBlocks = 6;
#endif
constexpr int kRows = 4; // that share a coefficient once it is read

// One output per thread, of Rows rows. Columns of the coefficients are in the order of a period's outputs, so that
// neighbours read neighbours; inputs are shared by neighbours, and come from the cache.
template <int Rows, bool Interpolated>
__global__ void __launch_bounds__(kThreads, kBlocks) resampleKernel(ResampleArguments a)
{
    // Blocks of one tile follow each other, and find its coefficients in the cache.
    int const tile = static_cast<int>(blockIdx.x) / a.groups;
    int const group = static_cast<int>(blockIdx.x) - tile * a.groups;
    int const index = tile * kThreads + static_cast<int>(threadIdx.x);
    if (index >= a.count)
    {
        return;
    }
    int const groups_of_window = (a.rows + Rows - 1) / Rows;
    int const window = group / groups_of_window;
    int const first_row = (group - window * groups_of_window) * Rows;
    ResampleSpan const span = a.spans[window];
    int const output = span.output + index;
    int const period = output / a.up;
    PolyphasePlace const place = a.places[output - period * a.up];
    int const first = span.input + period * a.down + place.first;
    int const begin = first < 0 ? -first : 0;
    int const end = min(a.taps, a.samples - first);

    std::int64_t const row = std::int64_t{window} * a.rows + first_row;
    float const* source[Rows];
    float sum[Rows] = {};
    SGN_UNROLL
    for (int i = 0; i < Rows; ++i)
    {
        // Rows beyond the last repeat it, and are not stored.
        source[i] = a.source + (row + min(i, a.rows - 1 - first_row)) * a.samples + first;
    }
    float const* at = a.coefficients + place.column + std::int64_t{begin} * a.columns;
    SGN_UNROLL_BY_2 // four rows' worth of loads at once is enough, and more cost registers
    for (int k = begin; k < end; ++k, at += a.columns)
    {
        float const coefficient = Interpolated ? at[0] + place.weight * (at[1] - at[0]) : at[0];
        SGN_UNROLL
        for (int i = 0; i < Rows; ++i)
        {
            sum[i] += coefficient * source[i][k];
        }
    }
    SGN_UNROLL
    for (int i = 0; i < Rows; ++i)
    {
        if (first_row + i < a.rows)
        {
            a.out[(row + i) * a.count + index] = withoutTiny(sum[i]);
        }
    }
}

template <int Rows>
cudaError_t launchRows(ResampleArguments arguments, bool interpolated, std::int64_t batch, cudaStream_t stream)
{
    std::int64_t const groups = batch * ((arguments.rows + Rows - 1) / Rows);
    std::int64_t const tiles = (arguments.count + kThreads - 1) / kThreads;
    if (groups > kMaximumRows / tiles)
    {
        return cudaErrorInvalidConfiguration;
    }
    arguments.groups = static_cast<int>(groups);
    dim3 const grid(static_cast<unsigned>(groups * tiles));
    return launch(interpolated ? &resampleKernel<Rows, true> : &resampleKernel<Rows, false>, grid, dim3(kThreads),
        stream, arguments);
}

} // namespace

cudaError_t launchResample(ResampleArguments arguments, bool interpolated, std::int64_t batch, cudaStream_t stream)
{
    return arguments.rows < kRows ? launchRows<1>(arguments, interpolated, batch, stream)
                                  : launchRows<kRows>(arguments, interpolated, batch, stream);
}

cudaError_t loadResampleKernels()
{
    for (cudaError_t const error : {load(&resampleKernel<1, false>), load(&resampleKernel<1, true>),
             load(&resampleKernel<kRows, false>), load(&resampleKernel<kRows, true>)})
    {
        if (error != cudaSuccess)
        {
            return error;
        }
    }
    return cudaSuccess;
}

} // namespace sgn
