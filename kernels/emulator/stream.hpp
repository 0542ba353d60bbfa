// Inside of the runtime: streams as queues of work, done at once or later in some legal order.
#pragma once

#include <driver_types.h>

#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "kernels/emulator/dice.hpp"
#include "kernels/emulator/runtime.hpp"

namespace fer::emulated {

using Action = std::function<void()>;

/// A point in a stream that others wait for.
struct Mark {
    bool reached = false;
    double seconds = 0;
};

struct Operation {
    Action action;
    std::shared_ptr<Mark> after;  // null, or not before this
};

struct Node {
    Action action;
    std::vector<std::size_t> after;  // nodes, all of them earlier ones
};

struct Graph {
    std::vector<Node> nodes;
};

struct Stream;

struct Capture {
    Graph graph;
    Stream* origin = nullptr;
    cudaStreamCaptureMode mode = cudaStreamCaptureModeGlobal;
    cudaError_t broken = cudaSuccess;  // why EndCapture will fail
    bool ended = false;
};

struct Stream {
    std::deque<Operation> queue;
    bool with_default = true;  // waits for the default stream and is waited for by it
    int priority = 0;
    std::shared_ptr<Capture> capture;
    std::vector<std::size_t> tail;  // while capturing: the nodes that the next one follows
};

struct Event {
    std::shared_ptr<Mark> mark;
    bool timing = true;
    std::shared_ptr<Capture> capture;  // if recorded while capturing
    std::vector<std::size_t> nodes;
};

/// The one emulated device.
struct Device {
    std::recursive_mutex mutex;
    std::vector<std::unique_ptr<Stream>> streams;  // the first is the default stream
    std::vector<std::unique_ptr<Event>> events;
    std::vector<std::weak_ptr<Capture>> captures;
    cudaError_t sticky = cudaSuccess;
    cudaError_t last = cudaSuccess;
    std::string fault;
    Injection injection;  // none
    Counters counters;
    Dice dice;

    Device() { streams.push_back(std::make_unique<Stream>()); }
};
Device& device();

/// The frame of every function of the API: takes the lock, counts, injects, refuses after a sticky error.
class Entry {
public:
    explicit Entry(const char* call);
    bool refused() const { return error_ != cudaSuccess; }
    cudaError_t error() const { return error_; }
    /// The function's result: `error`, unless work it did has meanwhile broken the device.
    cudaError_t leave(cudaError_t error = cudaSuccess);

private:
    std::unique_lock<std::recursive_mutex> lock_;
    cudaError_t error_ = cudaSuccess;
};

/// The stream behind a handle; null if it is none.
Stream* find_stream(cudaStream_t handle);
/// Does `action`, now or later, or records it in the stream's capture.
cudaError_t enqueue(Stream& stream, Action action);
/// Does outstanding work, in a random legal order, until `done`.
void work_until(const std::function<bool()>& done);
/// Perhaps does some.
void work_a_little();
bool is_idle(const Stream& stream);
/// Calls that may not be made while any stream captures in global mode; breaks the capture if one is.
cudaError_t forbid_capture();
/// The device is broken from now on.
void break_device(cudaError_t error, const std::string& report);

/// Does the nodes of a graph, in their order or in a random legal one.
void run_graph(const Graph& graph);

}  // namespace fer::emulated
