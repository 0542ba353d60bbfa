// Work whose instructions are counted, because times are not the same twice: making plans, reading a data set, and what
// a step costs beside its kernels. One section a run; only what counted_section() calls is counted (see count.py).
//   instructions plan | data | step
#include <fmt/format.h>
#include <omp.h>
#include <tbb/global_control.h>

#include <functional>
#include <map>
#include <numeric>
#include <string>

#include "engine/core/file.hpp"
#include "engine/core/random.hpp"
#include "engine/data/dataset.hpp"
#include "engine/run/cpu/cpu_device.hpp"
#include "engine/train/session.hpp"
#include "models/models.hpp"

namespace {

using namespace fer;

/// Takes every op and does nothing: what is left of a step is the executor.
class Idle : public Device {
public:
    std::string_view name() const override { return "idle"; }
    std::string_view fusions() const override { return ""; }
    std::span<const Implementation> implementations(OpKind) const override { return list_; }

private:
    static Kernel nothing(const OpDesc&) {
        return [](const Operands&) {};
    }
    std::array<Implementation, 1> list_{Implementation{"idle", nullptr, nullptr, nothing}};
};

StepOptions options_for(const models::Model& model) {
    StepOptions options;
    options.batch = options.input.images = 64;
    options.input.height = model.height;
    options.input.width = model.width;
    options.input.channels = model.channels;
    options.fuse = std::string(cpu_device().fusions());
    return options;
}

/// Graph, gradients, fusions and plan of a network with many small layers and of one with many large ones.
std::function<void()> plan() {
    return [] {
        for (const char* name : {"residual_cnn", "mobilenetv2_tl"}) {
            const models::Model& model = models::find(name);
            const Step step = training_step(model.build, options_for(model));
            static_cast<void>(make_plan(step.graph, Idle()));
        }
    };
}

/// A CSV file as FER2013 is one, of 200 images of noise.
std::function<void()> data() {
    const std::filesystem::path path =
        std::filesystem::temp_directory_path() / fmt::format("fer-instructions-{}.csv", ::getpid());
    std::string text = "emotion,pixels,Usage\n";
    const RandomStream random(1, 0, stream_of("pixels"));
    for (std::uint64_t image = 0; image < 200; ++image) {
        text += fmt::format("{},", image % 7);
        for (std::uint64_t pixel = 0; pixel < 48 * 48; ++pixel) {
            text += fmt::format("{}{}", pixel > 0 ? " " : "", random.word(image * 48 * 48 + pixel) % 256);
        }
        text += image % 5 == 0 ? ",PublicTest\n" : ",Training\n";
    }
    write_file(path, text);
    return [path] {
        DataOptions options;
        options.use_cache = false;
        const std::int64_t images = open_dataset(path.string(), options).size();
        std::filesystem::remove(path);
        FER_ASSERT(images == 200, "{} images were read", images);
    };
}

/// A hundred steps of residual_cnn without its kernels.
std::function<void()> step() {
    static Dataset images;
    images.height = images.width = 48;
    images.pixels.resize(64 * 48 * 48);
    images.labels.resize(64);
    static const Idle device;
    StepOptions options = options_for(models::find("residual_cnn"));
    options.width = 0.05f;
    auto session =
        std::make_shared<Session>(models::residual_cnn, options, images, device, host_runtime(), Session::Use::kTrain);
    std::vector<std::int32_t> order(64);
    std::iota(order.begin(), order.end(), 0);
    session->set_order(order);
    session->train(64);
    return [session] {
        for (int i = 0; i < 100; ++i) {
            session->train(64);
        }
    };
}

}  // namespace

extern "C" [[gnu::noinline]] void counted_section(const std::function<void()>& work) { work(); }

int main(int argc, char** argv) {
    const std::map<std::string, std::function<void()> (*)()> sections{{"plan", plan}, {"data", data}, {"step", step}};
    const auto section = argc == 2 ? sections.find(argv[1]) : sections.end();
    if (section == sections.end()) {
        return 2;
    }
    // Threads that wait for work spend instructions on it.
    omp_set_num_threads(1);
    const tbb::global_control one(tbb::global_control::max_allowed_parallelism, 1);
    counted_section(section->second());
    return 0;
}
