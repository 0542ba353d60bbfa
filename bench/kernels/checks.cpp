#include "bench/kernels/checks.hpp"

#include <algorithm>
#include <cstdio>
#include <fstream>

#include "engine/core/error.hpp"
#include "kernels/port/check.hpp"
#include "kernels/port/runtime.hpp"

namespace fer::FER_PORT {
namespace {

/// What is wrong with one run; empty if nothing is.
std::string run_once(const Case& c, Content content, bool poison, std::uint64_t& hash) {
    try {
        Memory memory(content, poison);
        const Run run = c.prepare(memory);
        run(nullptr);
        const std::string wrong = memory.unwritten();
        hash = memory.hash();
        return wrong;
    } catch (const Error& error) {
        return std::string(error.what()) + "\n" + error.why();
    }
}

}  // namespace

std::vector<Case> smallest_cases(std::vector<Case> cases, int most) {
    std::map<std::string, std::vector<std::pair<std::int64_t, Case>>> groups;
    for (Case& c : cases) {
        const std::int64_t work = c.bytes() + c.flops;
        groups[c.family + "/" + c.arithmetic.name].emplace_back(work, std::move(c));
    }
    std::vector<Case> chosen;
    for (auto& [name, group] : groups) {
        std::ranges::stable_sort(group, {}, [](const auto& member) { return member.first; });
        for (std::size_t i = 0; i < std::min(group.size(), static_cast<std::size_t>(most)); ++i) {
            chosen.push_back(std::move(group[i].second));
        }
    }
    return chosen;
}

CheckResult check_cases(const std::vector<Case>& cases, bool poison) {
    CheckResult result;
    std::map<std::string, std::pair<std::uint64_t, std::string>> firsts;  // of the cases that must be equal
    for (const Case& c : cases) {
        ++result.cases;
        std::uint64_t hash = 0;
        std::string wrong = run_once(c, c.exact ? Content::kIntegers : Content::kRandom, poison, hash);
        if (wrong.empty() && !c.equals.empty()) {
            const auto& [first, name] = firsts.try_emplace(c.equals, hash, c.name()).first->second;
            wrong = first == hash ? "" : "not the bits of " + name;
        }
        if (!wrong.empty()) {
            ++result.failures;
            std::printf("%s (%s): %s\n", c.name().c_str(), c.shape.c_str(), wrong.c_str());
        } else if (c.exact) {
            ++result.exact;
            result.hashes[fmt::format("{} {}", c.name(), c.shape)] = hash;
        }
    }
    return result;
}

void write_hashes(const std::string& path, const std::map<std::string, std::uint64_t>& hashes) {
    std::ofstream file(path);
    for (const auto& [name, hash] : hashes) {
        file << fmt::format("{:016x} {}\n", hash, name);
    }
    file.close();
    FER_CHECK(!file.fail(), "cannot write {}", path);
}

std::vector<std::string> compare_hashes(const std::string& path, const std::map<std::string, std::uint64_t>& hashes) {
    std::ifstream file(path);
    FER_CHECK(file.good(), "cannot read {}", path);
    std::map<std::string, std::string> theirs;
    for (std::string line; std::getline(file, line);) {
        theirs[line.substr(std::min<std::size_t>(17, line.size()))] = line.substr(0, 16);
    }
    std::vector<std::string> differ;
    for (const auto& [name, hash] : hashes) {
        const auto at = theirs.find(name);
        if (at == theirs.end() || at->second != fmt::format("{:016x}", hash)) {
            differ.push_back(name);
        }
        if (at != theirs.end()) {
            theirs.erase(at);
        }
    }
    for (const auto& [name, hash] : theirs) {
        differ.push_back(name);
    }
    return differ;
}

}  // namespace fer::FER_PORT
