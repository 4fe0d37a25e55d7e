// A recording through the windows of a bundle, whatever runs its `waveform` graph: what `sgn_rt.Separator` does with
// level="off" and a recording at the model's rate. Both programs beside this file are this and an engine.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iostream>
#include <nlohmann/json.hpp>
#include <numbers>
#include <sndfile.hh>
#include <stdexcept>
#include <string>
#include <vector>

namespace sgn
{

namespace fs = std::filesystem;
using Floats = std::vector<float>;

[[noreturn]] inline void fail(const std::string& what)
{
    throw std::runtime_error(what);
}

// Facts of the model, from bundle.json. Lengths in samples at `rate`, Hz.
struct Model
{
    fs::path folder;
    int rate;
    int64_t window, discard, fade, step;
    std::vector<std::string> categories;

    explicit Model(const fs::path& bundle)
        : folder(bundle)
    {
        std::ifstream file(bundle / "bundle.json");
        if (!file)
            fail((bundle / "bundle.json").string() + ": got no such file, expected a bundle");
        const auto manifest = nlohmann::json::parse(file);
        if (!manifest.contains("overlap_add"))
            fail("bundle.json: got no overlap_add, expected it. Export the bundle again");
        manifest.at("config").at("sample_rate").get_to(rate);
        manifest.at("config").at("window_samples").get_to(window);
        manifest.at("config").at("categories").get_to(categories);
        manifest.at("overlap_add").at("discard_samples").get_to(discard);
        manifest.at("overlap_add").at("fade_samples").get_to(fade);
        step = window - 2 * discard - fade;
    }
};

// The network: one window [N] and S categories to sources [S, N] and presence of every category [C].
using Network
    = std::function<void(const Floats& window, const std::vector<int64_t>& chosen, Floats& sources, Floats& presence)>;

// Samples [frames, channels] to S stems of the same shape; `highest` is raised to the presence in any window.
inline std::vector<Floats> separate(const Model& model, const Network& network, const Floats& samples, int channels,
    const std::vector<int64_t>& chosen, Floats& highest)
{
    const auto length = static_cast<int64_t>(samples.size()) / channels;
    Floats window(model.window), sources(chosen.size() * model.window), presence(highest.size());
    std::vector<Floats> stems(chosen.size(), Floats(samples.size()));
    for (int channel = 0; channel < channels; ++channel)
    {
        for (int64_t k = 0, first = 0; first < length; ++k)
        {
            const bool whole = k * model.step + model.window <= length; // else the window that ends with the recording
            const int64_t start = whole ? k * model.step : std::max<int64_t>(length - model.window, 0);
            const int64_t settled = whole ? (k + 1) * model.step + model.discard : length;
            for (int64_t i = 0; i < model.window; ++i)
            {
                const int64_t at = (start + i) % (2 * length); // what is shorter than a window goes on mirrored
                window[i] = samples[(at < length ? at : 2 * length - 1 - at) * channels + channel];
            }
            network(window, chosen, sources, presence);
            for (size_t c = 0; c < highest.size(); ++c)
                highest[c] = std::max(highest[c], presence[c]);
            for (int64_t i = first; i < (whole ? settled + model.fade : length); ++i)
            {
                const double rise = std::sin(std::numbers::pi / 2 * (i - first + 0.5) / model.fade);
                const float weight = k > 0 && i - first < model.fade ? static_cast<float>(rise * rise) : 1.0F;
                for (size_t s = 0; s < stems.size(); ++s)
                {
                    float& out = stems[s][i * channels + channel];
                    out += weight * (sources[s * model.window + i - start] - out);
                }
            }
            first = settled;
        }
    }
    return stems;
}

// BUNDLE RECORDING FOLDER [CATEGORY ...]: writes FOLDER/CATEGORY.wav, of those named, or of those that are present.
inline int run(int argc, char** argv, const std::function<Network(const Model&)>& open)
try
{
    if (argc < 4)
        fail("arguments: got too few, expected BUNDLE RECORDING FOLDER [CATEGORY ...]");
    const Model model(argv[1]);
    const std::string recording = argv[2];
    const std::vector<std::string> names
        = argc > 4 ? std::vector<std::string>(argv + 4, argv + argc) : model.categories;
    std::vector<int64_t> chosen;
    for (const auto& name : names)
    {
        chosen.push_back(std::ranges::find(model.categories, name) - model.categories.begin());
        if (chosen.back() == static_cast<int64_t>(model.categories.size()))
            fail(name + ": got a category that the model does not know");
    }
    SndfileHandle in(recording);
    if (in.error() || in.frames() < 1)
        fail(recording + ": got " + in.strError() + ", expected sound");
    if (in.samplerate() != model.rate)
        fail(recording + ": got " + std::to_string(in.samplerate()) + " Hz, expected " + std::to_string(model.rate)
            + ". Convert it: ffmpeg -i IN -ar " + std::to_string(model.rate) + " OUT.wav");
    Floats samples(in.frames() * in.channels()), highest(model.categories.size());
    if (in.readf(samples.data(), in.frames()) != in.frames())
        fail(recording + ": got a file that ends early, expected all of it");
    const auto stems = separate(model, open(model), samples, in.channels(), chosen, highest);
    fs::create_directories(argv[3]);
    for (size_t s = 0; s < stems.size(); ++s)
    {
        std::cout << names[s] << ": presence " << highest[chosen[s]] << '\n';
        if (argc == 4 && highest[chosen[s]] <= 0.5F)
            continue;
        std::string name = names[s];
        std::ranges::replace(name, '/', '_');
        const auto path = fs::path(argv[3]) / (name + ".wav");
        SndfileHandle out(path.string(), SFM_WRITE, SF_FORMAT_WAV | SF_FORMAT_FLOAT, in.channels(), model.rate);
        if (out.writef(stems[s].data(), in.frames()) != in.frames())
            fail(path.string() + ": got " + out.strError() + ", expected to write it");
    }
    return 0;
}
catch (const std::exception& error)
{
    std::cerr << "error: " << error.what() << '\n';
    return 2;
}

} // namespace sgn
