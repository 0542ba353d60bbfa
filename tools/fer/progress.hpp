// The training as a person watches it: Keras's progress line on a terminal, plain lines elsewhere.
#pragma once

#include <chrono>
#include <string>

#include "engine/train/trainer.hpp"

namespace fer::tool {

enum class ProgressStyle { kRich, kPlain, kOff };

/// "auto" is rich on a terminal and plain elsewhere. UsageError for any other word than rich, plain, off.
ProgressStyle progress_style(const std::string& word, bool quiet);

class ProgressLine : public TrainObserver {
public:
    ProgressLine(ProgressStyle style, std::int64_t batch) : style_(style), batch_(batch) {}

    void epoch_begins(int epoch, int epochs, std::int64_t steps) override;
    void step_done(std::int64_t step, std::int64_t steps, const Metrics& so_far, double seconds) override;
    void epoch_done(const EpochRow& row, std::int64_t steps, double step_seconds) override;
    void decided(const std::string& text) override;

private:
    ProgressStyle style_;
    std::int64_t batch_;
    std::int64_t first_step_ = 0;
    double shown_at_ = 0;
};

/// Bytes of this process that lie in memory; 0 if the system does not tell.
std::int64_t resident_bytes();
/// "812 MB", "3.4 GB".
std::string memory_text(std::int64_t bytes);

/// As Keras writes a number: four decimals, or scientific below 1e-3.
std::string metric_text(double value);
/// "35ms" or "1s" or "12us", as Keras writes a step's time.
std::string step_time_text(double seconds);

}  // namespace fer::tool
