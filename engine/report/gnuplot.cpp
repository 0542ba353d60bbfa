#include "engine/report/gnuplot.hpp"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <vector>

#include "engine/core/error.hpp"
#include "engine/core/file.hpp"
#include "engine/report/scratch_folder.hpp"

namespace fer {
namespace {

namespace fs = std::filesystem;

std::string program() {
    const char* named = std::getenv("FER_GNUPLOT");
    return named != nullptr && *named != '\0' ? named : "gnuplot";
}

/// The exit status of gnuplot; its output and complaints go to `log`. 127 if it cannot be started.
int status_of(const std::vector<std::string>& arguments, const fs::path& folder, const fs::path& log) {
    const std::string name = program();
    std::vector<char*> argv{const_cast<char*>(name.c_str())};
    for (const std::string& argument : arguments) {
        argv.push_back(const_cast<char*>(argument.c_str()));
    }
    argv.push_back(nullptr);
    const pid_t pid = ::fork();
    if (pid == 0) {
        // Nothing but system calls: another thread may have held a lock of this process.
        const int out = ::open(log.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
        const int in = ::open("/dev/null", O_RDONLY);
        if (in < 0 || out < 0 || ::dup2(in, STDIN_FILENO) < 0 || ::dup2(out, STDOUT_FILENO) < 0 ||
            ::dup2(out, STDERR_FILENO) < 0 || ::chdir(folder.c_str()) != 0) {
            ::_exit(127);
        }
        ::execvp(argv[0], argv.data());
        ::_exit(127);
    }
    int status = 127 << 8;
    while (pid > 0 && ::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

}  // namespace

std::optional<std::string> gnuplot_version() {
    const ScratchFolder scratch;
    if (status_of({"--version"}, ".", scratch / "log") != 0) {
        return std::nullopt;
    }
    const std::string text = read_file(scratch / "log");
    return text.substr(0, text.find('\n'));
}

std::optional<std::string> run_gnuplot(const std::string& script, const fs::path& folder) {
    const ScratchFolder scratch;
    write_file(scratch / "script", script);
    const int status = status_of({(scratch / "script").string()}, folder, scratch / "log");
    if (status == 0) {
        return std::nullopt;
    }
    return status == 127 ? fmt::format("{} is not there", program())
                         : fmt::format("{} ended with {}: {}", program(), status, read_file(scratch / "log"));
}

std::string gnuplot_text(const std::string& text) {
    std::string quoted = "'";
    for (const char c : text) {
        quoted += c == '\'' ? "''" : static_cast<unsigned char>(c) < ' ' ? " " : std::string(1, c);
    }
    return quoted + "'";
}

}  // namespace fer
