#include "tools/fer-bench/apart.hpp"

#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstring>

#include "engine/core/error.hpp"

namespace fer::tool {
namespace {

[[noreturn]] void child(const std::function<Json()>& work, int pipe) {
    Json answer;
    try {
        answer["value"] = work();
    } catch (const Error& error) {
        answer["error"] = {static_cast<int>(error.fault()), error.what(), error.why(), error.hint()};
    } catch (const std::bad_alloc&) {
        answer["error"] = {static_cast<int>(Fault::kMemory), "out of memory", "", "a smaller --batch"};
    } catch (const std::exception& error) {
        answer["error"] = {static_cast<int>(Fault::kInternal), error.what(), "", ""};
    }
    const std::string text = answer.dump();
    std::size_t done = 0;
    while (done < text.size()) {
        const ssize_t count = ::write(pipe, text.data() + done, text.size() - done);
        if (count <= 0) {
            ::_exit(1);
        }
        done += static_cast<std::size_t>(count);
    }
    ::_exit(0);
}

std::string read_all(int pipe) {
    std::string text;
    char part[4096];
    for (ssize_t got = 0; (got = ::read(pipe, part, sizeof part)) > 0;) {
        text.append(part, static_cast<std::size_t>(got));
    }
    return text;
}

}  // namespace

Json apart(const std::function<Json()>& work) {
    int ends[2];
    FER_ASSERT(::pipe(ends) == 0, "no pipe");
    const pid_t pid = ::fork();
    FER_ASSERT(pid >= 0, "no process: {}", std::strerror(errno));
    if (pid == 0) {
        ::close(ends[0]);
        child(work, ends[1]);
    }
    ::close(ends[1]);
    const std::string text = read_all(ends[0]);
    ::close(ends[0]);
    int status = 0;
    ::waitpid(pid, &status, 0);
    Json answer = Json::parse(text, nullptr, false);
    if (answer.is_object() && answer.contains("value")) {
        return answer["value"];
    }
    if (answer.is_object()) {
        const Json& error = answer["error"];
        DeviceError again(error[1].get<std::string>());
        throw again.because(error[2].get<std::string>())
            .try_this(error[3].get<std::string>())
            .counts_as(static_cast<Fault>(error[0].get<int>()));
    }
    const int signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    if (signal == SIGKILL) {
        throw DeviceError("the process that measured was killed")
            .because("the system does that when memory runs out")
            .try_this("a smaller --batch")
            .counts_as(Fault::kMemory);
    }
    throw DeviceError("the process that measured ended without a result")
        .because(signal == 0 ? fmt::format("its status was {}", WEXITSTATUS(status))
                             : fmt::format("signal {}: {}", signal, ::strsignal(signal)))
        .counts_as(Fault::kInternal);
}

}  // namespace fer::tool
