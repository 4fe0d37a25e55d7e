#include "host_kernels.h"

#include "host_api.h"

#include <ucontext.h>

#include <cstddef>
#include <memory>
#include <vector>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#endif

namespace sgn::host
{

Index thread_index{};
Index block_index{};

cudaError_t loadResult()
{
    return settings.fail_load == 0 ? cudaSuccess : cudaErrorNoKernelImageForDevice;
}

namespace
{

constexpr std::size_t kStackBytes = 64 * 1024;

// A stack that runs threads until one of them stops at a barrier. A thread that never does leaves its stack to the next
// one.
struct Fiber
{
    ucontext_t context{};
    std::unique_ptr<char[]> stack{new char[kStackBytes]};
    unsigned thread{};
    bool waiting{};
};

ucontext_t scheduler;
std::vector<std::unique_ptr<Fiber>> fibers;
void (*body)(void const*) = nullptr;
void const* context = nullptr;
Fiber* current = nullptr;
unsigned next_thread = 0;
unsigned threads = 0;

#if defined(__SANITIZE_ADDRESS__)
void* scheduler_fake = nullptr;
void const* scheduler_stack = nullptr;
std::size_t scheduler_bytes = 0;
#endif

void toScheduler(Fiber& fiber, bool ending)
{
#if defined(__SANITIZE_ADDRESS__)
    void* fake = nullptr;
    __sanitizer_start_switch_fiber(ending ? nullptr : &fake, scheduler_stack, scheduler_bytes);
    swapcontext(&fiber.context, &scheduler);
    __sanitizer_finish_switch_fiber(fake, &scheduler_stack, &scheduler_bytes);
#else
    static_cast<void>(ending);
    swapcontext(&fiber.context, &scheduler);
#endif
}

void toFiber(Fiber& fiber)
{
    current = &fiber;
    thread_index = {fiber.thread, 0, 0};
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_start_switch_fiber(&scheduler_fake, fiber.stack.get(), kStackBytes);
    swapcontext(&scheduler, &fiber.context);
    __sanitizer_finish_switch_fiber(scheduler_fake, nullptr, nullptr);
#else
    swapcontext(&scheduler, &fiber.context);
#endif
}

void work()
{
    Fiber& self = *current;
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(nullptr, &scheduler_stack, &scheduler_bytes);
#endif
    while (next_thread < threads)
    {
        self.thread = next_thread++;
        thread_index = {self.thread, 0, 0};
        body(context);
        if (self.waiting)
        {
            break; // had met a barrier: the scheduler has given the rest of the block to others
        }
    }
    self.waiting = false;
    toScheduler(self, true);
}

void start(Fiber& fiber)
{
    fiber.waiting = false;
    getcontext(&fiber.context);
    fiber.context.uc_stack.ss_sp = fiber.stack.get();
    fiber.context.uc_stack.ss_size = kStackBytes;
    fiber.context.uc_link = nullptr;
    makecontext(&fiber.context, &work, 0);
    toFiber(fiber);
}

// False where the threads of the block do not all meet the same number of barriers.
bool runBlock()
{
    next_thread = 0;
    std::size_t waiting = 0;
    while (next_thread < threads)
    {
        if (waiting == fibers.size())
        {
            fibers.push_back(std::make_unique<Fiber>());
        }
        start(*fibers[waiting]);
        waiting += fibers[waiting]->waiting ? 1 : 0;
    }
    while (waiting > 0)
    {
        if (waiting != threads)
        {
            return false;
        }
        std::size_t again = 0;
        for (std::size_t i = 0; i < waiting; ++i)
        {
            fibers[i]->waiting = true;
            toFiber(*fibers[i]);
            again += fibers[i]->waiting ? 1 : 0;
        }
        waiting = again;
    }
    return true;
}

} // namespace

void barrier()
{
    Fiber& self = *current;
    self.waiting = true;
    toScheduler(self, false);
}

cudaError_t run(dim3 grid, dim3 block, void (*kernel)(void const*), void const* bound)
{
    // What a GPU refuses: see "Technical Specifications per Compute Capability" in the CUDA programming guide.
    if (grid.x == 0 || grid.y == 0 || grid.z != 1 || grid.x > 2147483647U || grid.y > 65535U || block.x == 0
        || block.x > 1024 || block.y != 1 || block.z != 1)
    {
        return cudaErrorInvalidConfiguration;
    }
    body = kernel;
    context = bound;
    threads = block.x;
    for (unsigned y = 0; y < grid.y; ++y)
    {
        for (unsigned x = 0; x < grid.x; ++x)
        {
            block_index = {x, y, 0};
            if (!runBlock())
            {
                return cudaErrorLaunchFailure;
            }
        }
    }
    return cudaSuccess;
}

} // namespace sgn::host
