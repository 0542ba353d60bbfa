// The real program in a folder of its own: what it printed where, how it ended, what it left behind.
#pragma once

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "engine/core/file.hpp"
#include "tests/support/temporary_folder.hpp"

namespace fer::test {

namespace fs = std::filesystem;

struct Outcome {
    int status = -1;  // of the process; 128 + number of the signal that killed it
    std::string out, err;

    std::string first_line() const { return err.substr(0, err.find('\n')); }
};

inline std::vector<std::string> words(const std::string& line) {
    std::istringstream stream(line);
    return {std::istream_iterator<std::string>(stream), {}};
}

inline std::vector<std::string> lines(const std::string& text) {
    std::vector<std::string> list;
    std::istringstream stream(text);
    for (std::string line; std::getline(stream, line);) {
        list.push_back(line);
    }
    return list;
}

/// How a process is started, besides its arguments.
struct Start {
    std::map<std::string, std::string> environment = {};
    std::string standard_out = {};      // a file to write to instead of collecting
    std::string standard_error = {};    // the same
    rlim_t file_bytes = RLIM_INFINITY;  // no file may become larger
    bool as_nobody = false;             // without root's rights to read and write everything
    const char* program = FER_PROGRAM;

    std::string name() const { return fs::path(program).filename().string(); }
};

/// A running fer.
class Process {
public:
    Process(const fs::path& folder, const std::vector<std::string>& arguments, const Start& start)
        : out_(start.standard_out.empty() ? (captured_ / "out").string() : start.standard_out),
          err_(start.standard_error.empty() ? (captured_ / "err").string() : start.standard_error) {
        fs::permissions(captured_.path(), fs::perms::all);
        write_file(captured_ / "err", "");  // there is something to read before the program runs
        fs::permissions(captured_ / "err", fs::perms::all);
        pid_ = ::fork();
        if (pid_ == 0) {
            become(folder, arguments, start);
        }
    }
    ~Process() {
        if (pid_ > 0) {
            ::kill(pid_, SIGKILL);
            ::waitpid(pid_, nullptr, 0);
        }
    }
    Process(const Process&) = delete;
    Process& operator=(const Process&) = delete;

    void send(int signal) const { ::kill(pid_, signal); }

    std::string err_so_far() const { return read_file(err_); }

    /// Waits until `text` has appeared on stderr; false once the process has ended or a minute has passed.
    bool wait_for(const std::string& text) {
        for (int tick = 0; tick < 60'000; ++tick) {
            const bool ended = has_ended();
            if (err_so_far().find(text) != std::string::npos) {
                return true;
            }
            if (ended) {
                return false;
            }
            std::this_thread::sleep_for(std::chrono::milliseconds(1));
        }
        return false;
    }

    Outcome finish() {
        for (int tick = 0; tick < 120'000 && !has_ended(); ++tick) {
            std::this_thread::sleep_for(std::chrono::milliseconds(1));
        }
        EXPECT_TRUE(has_ended()) << "still running after two minutes";
        Outcome outcome;
        outcome.status = WIFEXITED(status_) ? WEXITSTATUS(status_) : 128 + WTERMSIG(status_);
        outcome.out = out_.starts_with("/dev/") ? "" : read_file(out_);
        outcome.err = err_.starts_with("/dev/") ? "" : read_file(err_);
        return outcome;
    }

private:
    [[noreturn]] void become(const fs::path& folder, const std::vector<std::string>& arguments,
                             const Start& start) const {
        const auto redirect = [](const std::string& path, int to) {
            const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
            if (fd < 0 || ::dup2(fd, to) < 0) {
                ::_exit(125);
            }
        };
        redirect(out_, STDOUT_FILENO);
        redirect(err_, STDERR_FILENO);
        if (::chdir(folder.c_str()) != 0) {
            ::_exit(125);
        }
        if (start.file_bytes != RLIM_INFINITY) {
            const rlimit limit{start.file_bytes, start.file_bytes};
            ::setrlimit(RLIMIT_FSIZE, &limit);
        }
        constexpr uid_t kNobody = 65534;
        if (start.as_nobody && ::geteuid() == 0 && (::setgid(kNobody) != 0 || ::setuid(kNobody) != 0)) {
            ::_exit(125);
        }
        for (const char* name : {"FER_DATA", "FER_LOG", "NO_COLOR", "CI", "LC_ALL"}) {
            ::unsetenv(name);
        }
        ::setenv("FER_CACHE", (folder / ".cache").c_str(), 1);
        ::setenv("OMP_NUM_THREADS", "1", 1);  // tiny networks pay more for a second thread than they gain
        for (const auto& [name, value] : start.environment) {
            ::setenv(name.c_str(), value.c_str(), 1);
        }
        std::vector<char*> argv{const_cast<char*>(start.program)};
        for (const std::string& argument : arguments) {
            argv.push_back(const_cast<char*>(argument.c_str()));
        }
        argv.push_back(nullptr);
        ::execv(start.program, argv.data());
        ::_exit(126);
    }

    bool has_ended() {
        if (pid_ > 0 && ::waitpid(pid_, &status_, WNOHANG) == pid_) {
            pid_ = -1;
        }
        return pid_ < 0;
    }

    const TemporaryFolder captured_;
    std::string out_, err_;
    pid_t pid_ = -1;
    int status_ = 0;
};

/// Tests that run the program in a folder of their own.
class ProgramTest : public ::testing::Test {
protected:
    Outcome fer(const std::vector<std::string>& arguments, const Start& start = {}) const {
        return Process(folder_.path(), arguments, start).finish();
    }
    Outcome fer(const std::string& line, const Start& start = {}) const { return fer(words(line), start); }
    /// The same, and it must succeed.
    Outcome ok(const std::string& line, const Start& start = {}) const {
        Outcome outcome = fer(line, start);
        EXPECT_EQ(outcome.status, 0) << start.name() << " " << line << "\n" << outcome.err;
        return outcome;
    }

    /// It fails with this status; its first line contains `what` and is short enough for a terminal, and every line is
    /// one of the four there are: the error, why, where, what to try.
    Outcome fails(int status, const std::string& line, const std::string& what, const Start& start = {}) const {
        const Outcome outcome = fer(line, start);
        const std::string name = start.name();
        SCOPED_TRACE(name + " " + line + "\n" + outcome.err);
        EXPECT_EQ(outcome.status, status);
        EXPECT_EQ(outcome.out, "") << "an error has no results";
        std::vector<std::string> said;
        for (const std::string& text : lines(outcome.err)) {
            if (!text.starts_with(name + ": info: ") && !text.starts_with(name + ": warning: ") &&
                !text.starts_with("plan  ")) {
                said.push_back(text);
            }
        }
        if (said.empty()) {
            ADD_FAILURE() << "nothing was said";
            return outcome;
        }
        EXPECT_THAT(said.front(), ::testing::StartsWith(name + ": error: "));
        EXPECT_THAT(said.front(), ::testing::HasSubstr(what));
        EXPECT_LE(said.front().size(), 100 + folder_.path().string().size());
        EXPECT_LE(said.size(), 3u);
        for (std::size_t i = 1; i < said.size(); ++i) {
            EXPECT_THAT(said[i], ::testing::MatchesRegex("  (why: |--> |try: ).*"));
        }
        return outcome;
    }

    /// Every path below the folder, sorted, without the cache of decoded data.
    std::vector<std::string> tree() const {
        std::vector<std::string> paths;
        for (auto at = fs::recursive_directory_iterator(folder_.path()); at != fs::recursive_directory_iterator();
             ++at) {
            if (at->path().filename() == ".cache") {
                at.disable_recursion_pending();
                continue;
            }
            paths.push_back(at->path().lexically_relative(folder_.path()).string());
        }
        std::ranges::sort(paths);
        return paths;
    }

    fs::path operator/(const std::string& name) const { return folder_ / name; }
    std::string read(const std::string& name) const { return read_file(folder_ / name); }
    nlohmann::json read_json(const std::string& name) const { return nlohmann::json::parse(read(name)); }
    void write(const std::string& name, std::string_view text) const {
        fs::create_directories((folder_ / name).parent_path());
        write_file(folder_ / name, text);
    }

    const TemporaryFolder folder_;
};

/// A network of a tenth of its width on 84 drawn faces: 4 steps an epoch, a tenth of a second.
inline const std::string kTiny = "train simpler_cnn --width 0.1 --data synthetic:70 --batch 16";

inline bool has_escape_codes(const std::string& text) { return text.find('\033') != std::string::npos; }

}  // namespace fer::test
