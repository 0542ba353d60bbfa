// A small run folder, written out.
#pragma once

#include <string>

#include "engine/core/file.hpp"
#include "engine/data/image.hpp"
#include "engine/report/mistakes.hpp"
#include "tests/support/temporary_folder.hpp"

namespace fer::test {

class SampleRun {
public:
    explicit SampleRun(const std::string& name = "sample", std::vector<std::string> classes = {"angry", "happy", "sad"})
        : folder_(root_ / name) {
        make_folder(folder_ / "eval/test");
        write_file(
            folder_ / "results.csv",
            "epoch,time_s,loss,accuracy,val_loss,val_accuracy,learning_rate,images_per_s\n"
            "1,2.5,3.1,0.3,3,0.31,0.001,400\n2,4.5,2.1,0.4,2.5,0.41,0.001,500\n3,6.5,1.9,0.5,2.4,0.45,0.001,510\n"
            "4,8.5,1.7,0.6,2.2,0.52,0.0003,505\n5,10.5,1.6,0.62,2.1,0.5,0.0003,500\n6,12.5,1.5,0.7,2.3,0.51,9e-05,"
            "490\n");
        write_file(folder_ / "run.json",
                   R"({"model": "simpler_cnn", "device": "cpu", "best": {"epoch": 4}, "data": {"train": 2400}})");
        write_file(
            folder_ / "config.toml",
            "# recipe x\n[data]\npath = \"a # b\"   # flag\n\n[train]\nepochs = 6   # flag\nbatch = 64   # default\n");
        // Rows 0 to 3 are right, 4 and 5 are not.
        Predictions p{std::move(classes), {}, {0, 1, 2, 2, 0, 1}, {}};
        for (int i = 0; i < 6; ++i) {
            p.files.push_back("test/" + std::to_string(i) + ".png");
        }
        p.probabilities = {0.7f, 0.2f, 0.1f, 0.1f, 0.8f, 0.1f, 0.1f, 0.3f, 0.6f,
                           0.2f, 0.2f, 0.6f, 0.1f, 0.9f, 0.0f, 0.3f, 0.2f, 0.5f};
        write_file(folder_ / "eval/test/predictions.csv", predictions_csv(p));
        write_file(folder_ / "eval/test/metrics.json", R"({"images": 6, "hits": 4, "loss": 1.25})");
        const std::vector<std::uint8_t> pixels(48 * 48, 90);
        const Pictures pictures{{4, encode_png(48, 48, 1, pixels)}, {5, encode_png(48, 48, 1, pixels)}};
        write_file(folder_ / "eval/test/pictures.json", pictures_json(pictures, p));
    }

    const std::filesystem::path& folder() const { return folder_; }

private:
    const TemporaryFolder root_;
    std::filesystem::path folder_;
};

}  // namespace fer::test
