// Separates a recording with ONNX Runtime: separate-onnxruntime BUNDLE RECORDING FOLDER [CATEGORY ...]
#include <onnxruntime_cxx_api.h>

#include <array>
#include <memory>

#include "separate.hpp"

static sgn::Network open(const sgn::Model& model)
{
    const auto path = model.folder / "waveform.fp32.onnx";
    if (!std::filesystem::exists(path))
        sgn::fail(path.string() + ": got no such graph. Export it: sgn-rt export --kind waveform --precision fp32");
    static const Ort::Env environment(ORT_LOGGING_LEVEL_WARNING, "sgn");
    const auto session = std::make_shared<Ort::Session>(environment, path.c_str(), Ort::SessionOptions());
    return [session](const auto& window, const auto& chosen, auto& sources, auto& presence) {
        const std::array one_window{int64_t{1}, static_cast<int64_t>(window.size())};
        const std::array categories{static_cast<int64_t>(chosen.size())};
        const auto memory = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
        const auto value = [&memory]<typename T>(const std::vector<T>& held, const auto& shape) {
            // Inputs are read where they are; the interface has no const.
            return Ort::Value::CreateTensor<T>(
                memory, const_cast<T*>(held.data()), held.size(), shape.data(), shape.size());
        };
        const std::array inputs{value(window, one_window), value(chosen, categories)};
        const std::array names{"mixture", "categories"}, wanted{"sources", "presence"};
        const auto answers = session->Run(Ort::RunOptions(), names.data(), inputs.data(), 2, wanted.data(), 2);
        std::copy_n(answers[0].template GetTensorData<float>(), sources.size(), sources.begin());
        std::copy_n(answers[1].template GetTensorData<float>(), presence.size(), presence.begin());
    };
}

int main(int argc, char** argv)
{
    return sgn::run(argc, argv, open);
}
