#include "status.h"

#include <atomic>
#include <cstdio>

namespace sgn
{
namespace
{

void writeToStandardError(char const* message)
{
    std::fprintf(stderr, "%s\n", message);
}

std::atomic<MessageSink> message_sink{&writeToStandardError};

} // namespace

void fail(std::string const& what, std::string const& got, std::string const& expected, std::string const& advice)
{
    throw Error(what + ": got " + got + ", expected " + expected + ". " + advice);
}

void setMessageSink(MessageSink sink) noexcept
{
    message_sink.store(sink != nullptr ? sink : &writeToStandardError);
}

void report(char const* where, char const* message) noexcept
{
    // A fixed buffer: what is being reported may be that memory has run out.
    char line[1024];
    std::snprintf(line, sizeof line, "[sgn-rt plugins] %s: %s", where, message);
    message_sink.load()(line);
}

} // namespace sgn
