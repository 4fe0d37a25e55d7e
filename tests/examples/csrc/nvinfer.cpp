// Stands where libnvinfer would, so that a program links: the one function that its headers do not define.
extern "C" void* createInferRuntime_INTERNAL(void*, int)
{
    return nullptr;
}
