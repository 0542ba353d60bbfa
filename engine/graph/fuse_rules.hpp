// The rules that the table in fuse.cpp points to, and how they take graphs apart. Private to the graph library.
#pragma once

#include "engine/graph/graph.hpp"

namespace fer::rewrite {

// of a forward graph
int fuse_fold(Graph&);
int fuse_bias(Graph&);
int fuse_activation(Graph&);
int fuse_norm(Graph&);
int fuse_residual(Graph&);
int fuse_norm_pool(Graph&);
int fuse_pad(Graph&);
int fuse_depthwise(Graph&);
int fuse_fixed_norm(Graph&);

// of a whole step
int fuse_norm_mask(Graph&);
int fuse_norm_sums(Graph&);
int fuse_loss(Graph&);
int fuse_l2(Graph&);
int fuse_gray(Graph&);
int fuse_input(Graph&);
int fuse_image_conv(Graph&);

// of what a step need not repeat
int prepare_shadow(Graph& step, Graph& prepared);
int prepare_hoist(Graph& step, Graph& prepared);
int prepare_early_update(Graph& step, Graph& prepared);

/// For each value whether it outlives the step and no node changes it.
std::vector<char> fixed_values(const Graph& step);

/// The only node reading `value`, or -1 when it has several readers, none, or is wanted by the caller.
int only_reader(const Graph& graph, ValueId value);

/// After nodes were moved, removed or given other outputs.
void number_writers(Graph& graph);

/// Removes node `index`; the first output of node `heir` takes the place of its first output.
void absorb(Graph& graph, std::size_t heir, std::size_t index);

/// Graph::apply1, but the node stands before node `at`, which moves back by one.
ValueId insert(Graph& graph, std::size_t at, OpKind kind, std::string name, Attributes attrs,
               std::vector<ValueId> inputs);

/// The node that writes `value`, or null.
inline Node* writer_of(Graph& graph, ValueId value) {
    const int writer = graph.value(value).writer;
    return writer < 0 ? nullptr : &graph.nodes()[static_cast<std::size_t>(writer)];
}

}  // namespace fer::rewrite
