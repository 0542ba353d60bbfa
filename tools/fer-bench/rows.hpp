// From what was measured to the rows of a result file, and from those to the lines of a table.
#pragma once

#include "engine/measure/results.hpp"
#include "tools/fer-bench/case_flags.hpp"

namespace fer::tool {

struct BenchCase {
    const models::Model* model = nullptr;
    std::string device;
    CaseFlags flags;
    bool streamed = false;

    /// "train/custom_cnn/b64/fp32/cpu", and what is not as usual: "/width0.1", "/no-capture", "/streamed".
    std::string name() const;
};

/// Everything about one case that its process must hand over.
Json measured_json(const StepBench& bench, const std::vector<Repetition>& repetitions, const Pieces& pieces,
                   double limit_seconds);

/// Adds a row per repetition, their median with percentiles, hints and notes, and rows of cold start and planning.
void append_rows(Json& results, const BenchCase& which, const std::string& device, const Json& measured,
                 const std::vector<double>& percentiles, int wanted_repetitions, double duration);

/// Of the medians.
std::vector<std::string> summary_header();
std::vector<std::string> summary_row(const Json& aggregate);

/// "118.2 GFLOP/s", "3.1 TFLOP/s"
std::string rate_text(double flops_per_s);

}  // namespace fer::tool
