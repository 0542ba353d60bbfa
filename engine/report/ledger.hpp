// Who looked at which images, and how often: a figure chosen from many looks at test images is no test any more.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>

namespace fer {

/// One evaluation.
struct LedgerEntry {
    std::string command, weights, weights_hash, data, fingerprint;
    std::string split;  // "test"
    std::string usage;  // "PrivateTest", where the data tell
    bool chose_best_epoch = false;
    std::int64_t images = 0, hits = 0;
};

/// evaluations.jsonl in a run folder: one JSON object a line, in order, never rewritten.
std::filesystem::path ledger_of(const std::filesystem::path& folder);

/// Appends one line in one write, durable when it returns. OutputError if the folder cannot be written.
void append_to_ledger(const std::filesystem::path& folder, const LedgerEntry& entry);

/// How many lines of the folder's ledger are of this split; 0 if there is no ledger. A line that a crash cut short does
/// not count.
int looks_at(const std::filesystem::path& folder, const std::string& split);

}  // namespace fer
