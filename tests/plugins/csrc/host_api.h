// Host memory behind the library's tables, with counters and failures for the tests.
#pragma once

namespace sgn::host
{

struct Counters
{
    long long device_calls; // of allocate, release and upload
    long long device_alive; // allocations not yet released
    long long fft_setup;    // plans created or made
    long long plans_alive;
    long long heap; // calls of operator new, -1 where a sanitizer owns it
};
extern Counters counters;

struct Settings
{
    long long work_bytes; // what a plan asks for; -1: its own size
    int fail_allocation;
    int fail_fft;
};
extern Settings settings;

} // namespace sgn::host
