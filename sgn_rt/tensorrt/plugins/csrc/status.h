// How a failure leaves the library: as a status for TensorRT and one line for a person.
//
// Inside, functions throw Error; every entry from TensorRT is noexcept and runs its whole body in guarded().
#pragma once

#include <exception>
#include <stdexcept>
#include <string>

namespace sgn
{

class Error : public std::runtime_error
{
public:
    using std::runtime_error::runtime_error;
};

// Throws an Error that reads "<what>: got <got>, expected <expected>. <advice>".
[[noreturn]] void fail(
    std::string const& what, std::string const& got, std::string const& expected, std::string const& advice);

using MessageSink = void (*)(char const* message);

// Where messages go: standard error unless replaced. TensorRT's logger is out of reach, as its interface differs
// between the versions that one binary serves.
void setMessageSink(MessageSink sink) noexcept;

void report(char const* where, char const* message) noexcept;

// Runs body; on any exception reports it and returns false.
template <typename Body>
bool guarded(char const* where, Body&& body) noexcept
{
    try
    {
        body();
        return true;
    }
    catch (std::exception const& error)
    {
        report(where, error.what());
    }
    catch (...)
    {
        report(where, "unknown exception");
    }
    return false;
}

} // namespace sgn
