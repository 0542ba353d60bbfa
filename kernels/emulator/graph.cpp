// Stream capture, and graphs as lists of recorded work.
#include <algorithm>

#include "engine/core/error.hpp"
#include "kernels/emulator/schedule.hpp"
#include "kernels/emulator/stream.hpp"

namespace fer::emulated {

namespace {

// Whether every node leads to one of `ends`: work of a stream that was drawn into the capture and never waited for
// would be lost.
bool is_joined(const Graph& graph, const std::vector<std::size_t>& ends) {
    std::vector<bool> reached(graph.nodes.size(), false);
    for (const std::size_t end : ends) {
        reached[end] = true;
    }
    for (std::size_t i = graph.nodes.size(); i-- > 0;) {
        for (const std::size_t before : graph.nodes[i].after) {
            reached[before] = reached[before] || reached[i];
        }
    }
    return std::all_of(reached.begin(), reached.end(), [](bool r) { return r; });
}

}  // namespace

void run_graph(const Graph& graph) {
    const bool in_order = schedule().streams == Streams::kInOrder;
    std::vector<bool> done(graph.nodes.size(), false);
    std::vector<std::size_t> waiting(graph.nodes.size());
    for (std::size_t i = 0; i < waiting.size(); ++i) {
        waiting[i] = i;
    }
    while (!waiting.empty() && device().sticky == cudaSuccess) {
        std::vector<std::size_t> ready;  // places in `waiting`
        for (std::size_t i = 0; i < waiting.size() && (ready.empty() || !in_order); ++i) {
            const auto& after = graph.nodes[waiting[i]].after;
            if (std::all_of(after.begin(), after.end(), [&](std::size_t n) { return done[n]; })) {
                ready.push_back(i);
            }
        }
        const std::size_t place = ready[in_order ? 0 : device().dice.below(ready.size())];
        const std::size_t node = waiting[place];
        waiting.erase(waiting.begin() + static_cast<std::ptrdiff_t>(place));
        graph.nodes[node].action();
        done[node] = true;
    }
}

cudaError_t forbid_capture() {
    for (const auto& weak : device().captures) {
        const auto capture = weak.lock();
        if (capture != nullptr && !capture->ended && capture->mode != cudaStreamCaptureModeRelaxed) {
            capture->broken = cudaErrorStreamCaptureInvalidated;
            return cudaErrorStreamCaptureUnsupported;
        }
    }
    return cudaSuccess;
}

cudaError_t cudaStreamBeginCapture(cudaStream_t handle, cudaStreamCaptureMode mode) {
    Entry entry("cudaStreamBeginCapture");
    if (entry.refused()) {
        return entry.error();
    }
    Stream* stream = find_stream(handle);
    if (stream == nullptr) {
        return entry.leave(cudaErrorInvalidResourceHandle);
    }
    if (stream == device().streams.front().get()) {
        return entry.leave(cudaErrorStreamCaptureUnsupported);  // the default stream cannot be captured
    }
    if (stream->capture != nullptr) {
        return entry.leave(cudaErrorIllegalState);
    }
    stream->capture = std::make_shared<Capture>();
    stream->capture->origin = stream;
    stream->capture->mode = mode;
    stream->tail.clear();
    std::erase_if(device().captures, [](const auto& c) { return c.expired(); });
    device().captures.push_back(stream->capture);
    return entry.leave();
}

cudaError_t cudaStreamEndCapture(cudaStream_t handle, cudaGraph_t* graph) {
    Entry entry("cudaStreamEndCapture");
    if (entry.refused()) {
        return entry.error();
    }
    *graph = nullptr;
    Stream* stream = find_stream(handle);
    if (stream == nullptr || stream->capture == nullptr) {
        return entry.leave(stream == nullptr ? cudaErrorInvalidResourceHandle : cudaErrorIllegalState);
    }
    const auto capture = stream->capture;
    if (capture->origin != stream) {
        return entry.leave(cudaErrorStreamCaptureUnmatched);
    }
    const std::vector<std::size_t> ends = stream->tail;
    capture->ended = true;
    for (const auto& member : device().streams) {
        if (member->capture == capture) {
            member->capture = nullptr;
            member->tail.clear();
        }
    }
    if (capture->broken != cudaSuccess) {
        return entry.leave(capture->broken);
    }
    if (!is_joined(capture->graph, ends)) {
        return entry.leave(cudaErrorStreamCaptureUnjoined);
    }
    *graph = reinterpret_cast<cudaGraph_t>(new Graph(std::move(capture->graph)));
    return entry.leave();
}

cudaError_t cudaStreamIsCapturing(cudaStream_t handle, cudaStreamCaptureStatus* status) {
    Entry entry("cudaStreamIsCapturing");
    if (entry.refused()) {
        return entry.error();
    }
    const Stream* stream = find_stream(handle);
    if (stream == nullptr) {
        return entry.leave(cudaErrorInvalidResourceHandle);
    }
    *status = stream->capture == nullptr               ? cudaStreamCaptureStatusNone
              : stream->capture->broken != cudaSuccess ? cudaStreamCaptureStatusInvalidated
                                                       : cudaStreamCaptureStatusActive;
    return entry.leave();
}

cudaError_t cudaStreamGetCaptureInfo(cudaStream_t handle, cudaStreamCaptureStatus* status, unsigned long long* id,
                                     cudaGraph_t* graph, const cudaGraphNode_t** dependencies,
                                     const cudaGraphEdgeData** edges, std::size_t* count) {
    const cudaError_t result = cudaStreamIsCapturing(handle, status);
    if (result != cudaSuccess || *status != cudaStreamCaptureStatusActive) {
        return result;
    }
    Entry entry("cudaStreamGetCaptureInfo");
    if (entry.refused()) {
        return entry.error();
    }
    if (dependencies != nullptr || edges != nullptr || count != nullptr) {
        return entry.leave(cudaErrorNotSupported);
    }
    Stream* stream = find_stream(handle);
    *id = reinterpret_cast<std::uintptr_t>(stream->capture.get());
    *graph = reinterpret_cast<cudaGraph_t>(&stream->capture->graph);
    return entry.leave();
}

cudaError_t cudaGraphGetNodes(cudaGraph_t graph, cudaGraphNode_t* nodes, std::size_t* count) {
    Entry entry("cudaGraphGetNodes");
    if (entry.refused()) {
        return entry.error();
    }
    if (graph == nullptr || nodes != nullptr) {
        return entry.leave(cudaErrorNotSupported);
    }
    *count = reinterpret_cast<const Graph*>(graph)->nodes.size();
    return entry.leave();
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t* exec, cudaGraph_t graph, unsigned long long) {
    Entry entry("cudaGraphInstantiate");
    if (entry.refused()) {
        return entry.error();
    }
    if (graph == nullptr) {
        return entry.leave(cudaErrorInvalidValue);
    }
    *exec = reinterpret_cast<cudaGraphExec_t>(
        new std::shared_ptr<Graph>(std::make_shared<Graph>(*reinterpret_cast<const Graph*>(graph))));
    return entry.leave();
}

cudaError_t cudaGraphUpload(cudaGraphExec_t exec, cudaStream_t stream) {
    Entry entry("cudaGraphUpload");
    return entry.refused()
               ? entry.error()
               : entry.leave(exec == nullptr || find_stream(stream) == nullptr ? cudaErrorInvalidResourceHandle
                                                                               : cudaSuccess);
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t handle) {
    Entry entry("cudaGraphLaunch");
    if (entry.refused()) {
        return entry.error();
    }
    Stream* stream = find_stream(handle);
    if (stream == nullptr || exec == nullptr) {
        return entry.leave(cudaErrorInvalidResourceHandle);
    }
    ++device().counters.graph_launches;
    // Shared: the executable may be destroyed while the launch is still to come.
    const auto graph = *reinterpret_cast<const std::shared_ptr<Graph>*>(exec);
    return entry.leave(enqueue(*stream, [graph] { run_graph(*graph); }));
}

// What is destroyed is gone, even where the call reports an error of earlier work.
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec) {
    Entry entry("cudaGraphExecDestroy");
    delete reinterpret_cast<std::shared_ptr<Graph>*>(exec);
    return entry.refused() ? entry.error() : entry.leave();
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
    Entry entry("cudaGraphDestroy");
    delete reinterpret_cast<Graph*>(graph);
    return entry.refused() ? entry.error() : entry.leave();
}

}  // namespace fer::emulated
