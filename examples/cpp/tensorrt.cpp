// Separates a recording with a TensorRT engine: separate-tensorrt BUNDLE RECORDING FOLDER [CATEGORY ...]
// The engine is what `sgn-rt build BUNDLE --kind waveform` wrote on this machine. Load no engine of a stranger: it is a
// program.
#include <NvInferRuntime.h>
#include <cuda_runtime_api.h>

#include <cstring>
#include <memory>

#include "separate.hpp"

namespace
{

class Logger : public nvinfer1::ILogger
{
    void log(Severity severity, const char* message) noexcept override
    {
        if (severity <= Severity::kWARNING)
            std::cerr << "tensorrt: " << message << '\n';
    }
};

void check(cudaError_t status, const char* what)
{
    if (status != cudaSuccess)
        sgn::fail(std::string(what) + ": got " + cudaGetErrorString(status));
}

// Memory on the GPU, as large as was ever needed.
class Buffer
{
public:
    Buffer() = default;
    Buffer(const Buffer&) = delete;
    Buffer& operator=(const Buffer&) = delete;
    ~Buffer()
    {
        cudaFree(data_);
    }
    void* of(size_t bytes)
    {
        if (bytes > size_)
        {
            check(cudaFree(data_), "memory of the GPU");
            data_ = nullptr;
            check(cudaMalloc(&data_, bytes), "memory of the GPU");
            size_ = bytes;
        }
        return data_;
    }

private:
    void* data_ = nullptr;
    size_t size_ = 0;
};

class Engine
{
public:
    explicit Engine(const std::vector<char>& plan)
        : runtime_(nvinfer1::createInferRuntime(logger_))
    {
        if (runtime_)
            engine_.reset(runtime_->deserializeCudaEngine(plan.data(), plan.size()));
        if (engine_)
            context_.reset(engine_->createExecutionContext());
        if (!context_)
            sgn::fail("engine: got one that does not load here, expected one built on this machine. Run sgn-rt build");
        check(cudaStreamCreate(&stream_), "stream");
    }
    ~Engine()
    {
        cudaStreamDestroy(stream_);
    }

    void run(const sgn::Floats& window, const std::vector<int64_t>& chosen, sgn::Floats& sources, sgn::Floats& presence)
    {
        const auto most = engine_->getProfileShape("categories", 0, nvinfer1::OptProfileSelector::kMAX).d[0];
        if (static_cast<int64_t>(chosen.size()) > most)
            sgn::fail("categories: got more than the engine takes, expected at most " + std::to_string(most));
        input("mixture", window, nvinfer1::Dims2(1, static_cast<int64_t>(window.size())));
        input("categories", chosen, nvinfer1::Dims{1, {static_cast<int64_t>(chosen.size())}});
        expect(context_->setTensorAddress("sources", memory_[2].of(sources.size() * sizeof(float))));
        expect(context_->setTensorAddress("presence", memory_[3].of(presence.size() * sizeof(float))));
        const auto embedding = context_->getTensorShape("embedding"); // the graph's third output, not wanted here
        expect(context_->setTensorAddress(
            "embedding", memory_[4].of(embedding.d[0] * embedding.d[1] * embedding.d[2] * sizeof(float))));
        expect(context_->enqueueV3(stream_));
        copy(sources.data(), memory_[2].of(0), sources.size() * sizeof(float), cudaMemcpyDeviceToHost);
        copy(presence.data(), memory_[3].of(0), presence.size() * sizeof(float), cudaMemcpyDeviceToHost);
        check(cudaStreamSynchronize(stream_), "network");
    }

private:
    static void expect(bool done)
    {
        if (!done)
            sgn::fail("engine: got a refusal, expected it to run. See TensorRT's message above");
    }
    void copy(void* to, const void* from, size_t bytes, cudaMemcpyKind kind)
    {
        check(cudaMemcpyAsync(to, from, bytes, kind, stream_), "copy");
    }
    template <typename T>
    void input(const char* name, const std::vector<T>& values, const nvinfer1::Dims& shape)
    {
        const size_t bytes = values.size() * sizeof(T);
        void* memory = memory_[std::strcmp(name, "mixture") == 0 ? 0 : 1].of(bytes);
        copy(memory, values.data(), bytes, cudaMemcpyHostToDevice);
        expect(context_->setInputShape(name, shape));
        expect(context_->setTensorAddress(name, memory));
    }

    // Freed in the reverse order: contexts before their engine, the engine before its runtime.
    Logger logger_;
    std::unique_ptr<nvinfer1::IRuntime> runtime_;
    std::unique_ptr<nvinfer1::ICudaEngine> engine_;
    std::unique_ptr<nvinfer1::IExecutionContext> context_;
    cudaStream_t stream_ = nullptr;
    Buffer memory_[5];
};

sgn::Network open(const sgn::Model& model)
{
    for (const auto& file : std::filesystem::directory_iterator(model.folder / "engines"))
    {
        if (file.path().extension() != ".json")
            continue;
        const auto sidecar = nlohmann::json::parse(std::ifstream(file.path()));
        if (sidecar.at("kind") != "waveform" || sidecar.at("flavor") != "tensorrt")
            continue;
        std::ifstream in(std::filesystem::path(file.path()).replace_extension(".engine"), std::ios::binary);
        const std::vector<char> plan{std::istreambuf_iterator<char>(in), {}};
        const auto engine = std::make_shared<Engine>(plan);
        return [engine](const auto& window, const auto& chosen, auto& sources, auto& presence) {
            engine->run(window, chosen, sources, presence);
        };
    }
    sgn::fail((model.folder / "engines").string()
        + ": got no engine of waveform, expected one. Run sgn-rt build BUNDLE --kind waveform");
}

} // namespace

int main(int argc, char** argv)
{
    return sgn::run(argc, argv, open);
}
