// Counts what kernels load and store, by memory that is watched. The kernels are compiled as for ThreadSanitizer, which
// calls a function before every access; here, these.
#include "host_kernels.h"
#include "library.h"

#include <cstddef>
#include <cstdint>
#include <vector>

namespace
{

constexpr std::size_t kSector = 32; // bytes that a GPU's memory moves at least

struct Watched
{
    std::uintptr_t base;
    std::size_t bytes;
    std::vector<bool> touched[2]; // of its bytes: loaded, stored
    long long asked[2];
    long long accesses[2];
};

std::vector<Watched> watched;

// What a GPU does at once, the host's compiler does one float after the other: a thread's access that follows its own to
// the first half of an aligned pair.
bool secondOfPair(std::uintptr_t at, std::size_t bytes, int kind)
{
    struct Access
    {
        std::uintptr_t at;
        unsigned block, row, thread;
        int kind;
    };
    static Access last{};
    Access const now{at, blockIdx.x, blockIdx.y, threadIdx.x, kind};
    bool const second = bytes == sizeof(float) && at % 8 == 4 && last.at + sizeof(float) == at && last.kind == kind
        && last.thread == now.thread && last.block == now.block && last.row == now.row;
    last = now;
    return second;
}

void touch(void const* address, std::size_t bytes, int kind)
{
    auto const at = reinterpret_cast<std::uintptr_t>(address);
    for (Watched& memory : watched)
    {
        if (at >= memory.base && at < memory.base + memory.bytes)
        {
            memory.asked[kind] += static_cast<long long>(bytes);
            memory.accesses[kind] += secondOfPair(at, bytes, kind) ? 0 : 1;
            for (std::size_t i = 0; i < bytes; ++i)
            {
                memory.touched[kind][at - memory.base + i] = true;
            }
        }
    }
}

} // namespace

struct TestTally
{
    long long accesses;
    long long asked; // bytes of all accesses
    long long bytes; // each counted once
    long long sectors; // bytes of the sectors that these lie in
};

extern "C"
{

SGN_RT_EXPORT void sgn_test_watch(void* base, std::size_t bytes)
{
    watched.push_back({reinterpret_cast<std::uintptr_t>(base), bytes, {}, {}, {}});
    watched.back().touched[0].resize(bytes);
    watched.back().touched[1].resize(bytes);
}

SGN_RT_EXPORT void sgn_test_forget()
{
    watched.clear();
}

SGN_RT_EXPORT TestTally sgn_test_tally(std::int32_t index, std::int32_t kind)
{
    Watched const& memory = watched.at(static_cast<std::size_t>(index));
    std::vector<bool> const& touched = memory.touched[kind];
    TestTally tally{memory.accesses[kind], memory.asked[kind], 0, 0};
    for (std::size_t first = 0; first < memory.bytes; first += kSector)
    {
        long long here = 0;
        for (std::size_t i = first; i < first + kSector && i < memory.bytes; ++i)
        {
            here += touched[i] ? 1 : 0;
        }
        tally.bytes += here;
        tally.sectors += here != 0 ? static_cast<long long>(kSector) : 0;
    }
    return tally;
}

#define SGN_ACCESS(bytes)                                                                                              \
    SGN_RT_EXPORT void __tsan_read##bytes(void* address)                                                               \
    {                                                                                                                  \
        touch(address, bytes, 0);                                                                                      \
    }                                                                                                                  \
    SGN_RT_EXPORT void __tsan_write##bytes(void* address)                                                              \
    {                                                                                                                  \
        touch(address, bytes, 1);                                                                                      \
    }                                                                                                                  \
    SGN_RT_EXPORT void __tsan_unaligned_read##bytes(void* address)                                                     \
    {                                                                                                                  \
        touch(address, bytes, 0);                                                                                      \
    }                                                                                                                  \
    SGN_RT_EXPORT void __tsan_unaligned_write##bytes(void* address)                                                    \
    {                                                                                                                  \
        touch(address, bytes, 1);                                                                                      \
    }

SGN_ACCESS(1)
SGN_ACCESS(2)
SGN_ACCESS(4)
SGN_ACCESS(8)
SGN_ACCESS(16)

SGN_RT_EXPORT void __tsan_read_range(void* address, std::size_t bytes)
{
    touch(address, bytes, 0);
}

SGN_RT_EXPORT void __tsan_write_range(void* address, std::size_t bytes)
{
    touch(address, bytes, 1);
}

SGN_RT_EXPORT void __tsan_init() { }
SGN_RT_EXPORT void __tsan_func_entry(void*) { }
SGN_RT_EXPORT void __tsan_func_exit() { }

} // extern "C"
