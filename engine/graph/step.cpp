#include "engine/graph/step.hpp"

#include <algorithm>
#include <type_traits>

#include "engine/core/text.hpp"
#include "engine/graph/gradient.hpp"

namespace fer {
namespace {

/// The values every step shares, in one order, so that plans of different batches agree on them.
/// Evaluation counts on a clock of its own: it must not move the random numbers of the training.
Step begin(const StepOptions& options, Mode mode) {
    Step step;
    Graph& graph = step.graph;
    const bool trains = mode == Mode::kTrain;
    step.clock = graph.add(trains ? kClock : kEvaluationClock, Role::kState, {{kClockFields}, DType::kI64});
    step.metrics = graph.add(trains ? kMetrics : kEvaluationMetrics, Role::kState, {{kMetricFields}, DType::kF64});
    step.learning_rate = graph.add(kLearningRate, Role::kState, {Shape{}, DType::kF32});
    step.class_weights = graph.add(kClassWeights, Role::kState, {{options.classes}, options.real});
    return step;
}

/// images[order[cursor + i]] as floats of the model's size and scale.
ValueId gather_input(Step& step, const StepOptions& options, Mode mode) {
    Graph& graph = step.graph;
    const InputOptions& in = options.input;
    step.images = graph.add(kImages, Role::kInput, {{in.images, in.stored_height, in.stored_width}, DType::kU8});
    step.labels = graph.add(kLabels, Role::kInput, {{in.images}, DType::kI32});
    step.order = graph.add(kOrder, Role::kInput, {{in.images}, DType::kI32});
    const auto batch = graph.apply(OpKind::kGather, "batch", GatherAttrs{options.batch},
                                   {step.images, step.labels, step.order, step.clock});
    step.labels = batch[1];
    ValueId x = batch[0];
    if (in.augment.any() && (mode == Mode::kTrain || in.augment_evaluation)) {
        x = graph.apply1(OpKind::kAugment, "augment", in.augment, {x, step.clock});
    }
    if (in.height != in.stored_height || in.width != in.stored_width) {
        x = graph.apply1(OpKind::kResize, "resize", ResizeAttrs{in.height, in.width, in.bilinear}, {x});
    }
    if (in.channels == 3) {
        x = graph.apply1(OpKind::kGrayToRgb, "gray_to_rgb", NoAttrs{}, {x});
    }
    x = graph.apply1(OpKind::kRescale, "rescale", in.rescale, {x});
    if (options.mixup.alpha > 0 && mode == Mode::kTrain) {
        const auto mixed = graph.apply(OpKind::kMixup, "mixup", options.mixup, {x, step.labels, step.clock});
        x = mixed[0];
        step.partners = mixed[1];
        step.share = mixed[2];
    }
    return x;
}

struct Built {
    Net net;
    ValueId logits;
};

Built build_model(Step& step, const ModelBuilder& model, const StepOptions& options, ValueId x, Mode mode) {
    if (options.real != step.graph.value(x).info.dtype) {
        x = step.graph.apply1(OpKind::kCast, "input_cast", CastAttrs{options.real}, {x});
    }
    step.input = x;
    Net net(step.graph, x, step.clock,
            {.mode = mode, .width = options.width, .dropout = options.dropout, .freeze = options.freeze});
    model(net);
    step.layers = net.layers();
    step.variables = net.variables();
    const ValueId logits = net.here();
    const Shape& shape = step.graph.value(logits).info.shape;
    FER_CHECK(shape.rank() == 2 && shape[1] == options.classes, "the model ends in {}, not in {} classes", shape.str(),
              options.classes);
    return {std::move(net), logits};
}

/// loss + regularizers.
void build_loss(Step& step, const StepOptions& options, const Built& built, ValueId weights) {
    Graph& graph = step.graph;
    std::vector<ValueId> inputs{built.logits, step.labels, weights};
    if (step.share != kNoValue) {
        inputs.insert(inputs.end(), {step.partners, step.share});
    }
    const auto outputs = graph.apply(OpKind::kSoftmaxXent, "loss", XentAttrs{options.label_smoothing}, inputs);
    step.loss = outputs[0];
    step.probabilities = outputs[1];
    std::vector<ValueId> terms{step.loss};
    for (const auto& [factor, kernels] : built.net.l2()) {
        const std::string name = terms.size() == 1 ? "l2" : fmt::format("l2_{}", terms.size() - 1);
        terms.push_back(graph.apply1(OpKind::kL2Penalty, name, ScalarAttrs{factor}, kernels));
    }
    step.total_loss = terms.size() == 1 ? step.loss : graph.apply1(OpKind::kAdd, "total_loss", NoAttrs{}, terms);
    graph.keep(step.total_loss);
    graph.keep(step.probabilities);
    graph.apply(OpKind::kMetrics, "metrics_update", NoAttrs{}, {step.total_loss, outputs[2]}, {step.metrics});
}

struct OptimizerNames {
    OpKind kind;
    std::string name;
    std::vector<std::string> moments;
};

OptimizerNames names_of(const OptimizerAttrs& optimizer) {
    if (const auto* sgd = std::get_if<SgdAttrs>(&optimizer)) {
        return {OpKind::kSgd, "sgd", sgd->momentum != 0 ? std::vector<std::string>{"m"} : std::vector<std::string>{}};
    }
    if (const auto* rms = std::get_if<RmsPropAttrs>(&optimizer)) {
        return {OpKind::kRmsProp, "rmsprop",
                rms->momentum != 0 ? std::vector<std::string>{"v", "m"} : std::vector<std::string>{"v"}};
    }
    return {OpKind::kAdam, "adam", {"m", "v"}};
}

void append(std::vector<FusionCount>& counts, const std::vector<FusionCount>& more) {
    counts.insert(counts.end(), more.begin(), more.end());
}

/// Adds the gradients to those of the steps before; where this step updates, they are the mean of all then.
void build_accumulation(Step& step, const StepOptions& options, const std::vector<ValueId>& parameters,
                        const std::vector<ValueId>& gradients) {
    if (options.accumulate <= 1) {
        return;
    }
    Graph& graph = step.graph;
    std::vector<ValueId> state = gradients;
    for (const ValueId p : parameters) {
        const TensorInfo info = graph.value(p).info;
        state.push_back(graph.add(fmt::format("accumulated/{}", graph.value(p).name), Role::kState, info));
    }
    state.push_back(graph.add("accumulated_images", Role::kState, {Shape{}, DType::kF32}));
    state.push_back(step.clock);
    graph.apply(OpKind::kAccumulate, "accumulate", AccumulateAttrs{options.batch, options.updates}, {}, state);
}

/// Moving averages of what the weights and statistics are after the update.
void build_averages(Step& step, const StepOptions& options) {
    if (options.ema == 0) {
        return;
    }
    std::vector<ValueId> values, averages;
    for (const Variable& variable : step.variables) {
        const Value value = step.graph.value(variable.id);
        values.push_back(variable.id);
        averages.push_back(step.graph.add(kAverages + value.name, Role::kState, value.info));
    }
    values.push_back(step.clock);
    step.graph.apply(OpKind::kEma, "ema", ScalarAttrs{options.ema}, values, averages);
}

/// Trained parameters of one learning rate, by place in the list of all.
struct UpdateGroup {
    RateGroup rate;
    std::vector<std::size_t> members;
};

/// UsageError for a layer that is not there, or out of order.
std::vector<UpdateGroup> update_groups(const Step& step, const StepOptions& options,
                                       const std::vector<ValueId>& parameters) {
    std::vector<UpdateGroup> groups(1);
    auto next = options.rate_groups.begin();
    std::size_t place = 0;
    for (const Layer& layer : step.layers) {
        if (next != options.rate_groups.end() && next->layer == layer.name) {
            groups.push_back({*next++, {}});
        }
        for (const ValueId variable : layer.variables) {
            if (place < parameters.size() && parameters[place] == variable) {
                groups.back().members.push_back(place++);
            }
        }
    }
    if (next != options.rate_groups.end()) {
        std::vector<std::string> names;
        for (const Layer& layer : step.layers) {
            names.push_back(layer.name);
        }
        const bool known = std::ranges::count(names, next->layer) > 0;
        const std::string near = nearest(next->layer, names);
        throw UsageError(fmt::format("optimizer.groups: {} '{}'",
                                     known ? "out of the network's order:" : "there is no layer", next->layer))
            .try_this(known || near.empty() ? "fer summary shows the layers in their order"
                                            : fmt::format("did you mean '{}'?", near));
    }
    FER_ASSERT(place == parameters.size(), "{} of {} parameters belong to a layer", place, parameters.size());
    std::erase_if(groups, [](const UpdateGroup& group) { return group.members.empty(); });
    return groups;
}

/// One update of the parameters of a group. Groups have a node each; moments are named alike with and without groups.
void build_group_update(Step& step, const StepOptions& options, const UpdateGroup& group, ValueId rate,
                        const std::vector<ValueId>& parameters, const std::vector<ValueId>& gradients) {
    Graph& graph = step.graph;
    const OptimizerNames names = names_of(options.optimizer);
    std::vector<ValueId> inputs{rate, step.clock};
    if (const ValueId scale = graph.find(kLossScale); scale != kNoValue) {
        inputs.push_back(scale);
    }
    std::vector<ValueId> state;
    for (const std::size_t k : group.members) {
        inputs.push_back(gradients[k]);
        state.push_back(parameters[k]);
    }
    for (const std::string& moment : names.moments) {
        for (const std::size_t k : group.members) {
            const std::string name = fmt::format("{}/{}/{}", names.name, moment, graph.value(parameters[k]).name);
            const TensorInfo info = graph.value(parameters[k]).info;
            state.push_back(graph.add(name, Role::kState, info));
        }
    }
    OptimizerAttrs rule = options.optimizer;
    std::visit([&group](auto& a) { a.rate_factor = group.rate.factor; }, rule);
    const Attributes attrs = std::visit([](const auto& a) { return Attributes(a); }, rule);
    const std::string suffix = group.rate.layer.empty() ? "" : " from " + group.rate.layer;
    graph.apply(names.kind, names.name + suffix, attrs, inputs, state);
    step.rate_groups.push_back(group.rate);
}

void build_update(Step& step, const StepOptions& options, const std::vector<ValueId>& parameters,
                  const std::vector<ValueId>& gradients) {
    Graph& graph = step.graph;
    const ValueId scale = graph.find(kLossScale);
    ValueId rate = step.learning_rate;
    if (options.schedule.kind != ScheduleKind::kConstant) {
        rate = graph.apply1(OpKind::kSchedule, "scheduled_rate", options.schedule, {rate, step.clock});
    }
    if (scale != kNoValue) {
        graph.apply(OpKind::kCheckGradients, "check_gradients", NoAttrs{}, gradients, {scale});
    }
    if (options.clip != ClipAttrs{}) {
        graph.apply(OpKind::kClipGradients, "clip_gradients", options.clip,
                    scale == kNoValue ? std::vector<ValueId>{} : std::vector{scale}, gradients);
    }
    for (const UpdateGroup& group : update_groups(step, options, parameters)) {
        build_group_update(step, options, group, rate, parameters, gradients);
    }
    if (scale != kNoValue) {
        graph.apply(OpKind::kUpdateLossScale, "update_loss_scale", NoAttrs{}, {}, {scale});
    }
}

/// What the gradients are multiplied by: fp16 would lose small ones otherwise.
ValueId build_loss_scale(Step& step, const StepOptions& options) {
    if (options.precision != Precision::kFp16) {
        return kNoValue;
    }
    const ValueId state = step.graph.add(kLossScale, Role::kState, {{kLossScaleWords}, DType::kI32});
    return step.graph.apply1(OpKind::kLossScale, "dloss", NoAttrs{}, {state});
}

}  // namespace

Step training_step(const ModelBuilder& model, const StepOptions& options) {
    // A convolution of the trunk must not hold what the rest of the step needs: the labels.
    const std::string fusions = options.cache_features ? without_rule(options.fuse, "image_conv") : options.fuse;
    Step step = begin(options, Mode::kTrain);
    const ValueId x = gather_input(step, options, Mode::kTrain);
    const Built built = build_model(step, model, options, x, Mode::kTrain);
    build_loss(step, options, built, step.class_weights);
    step.fusions = fuse(step.graph, fusions);
    apply_precision(step.graph, options.precision);

    std::vector<ValueId> parameters;
    for (const Variable& variable : step.variables) {
        if (variable.trainable) {
            parameters.push_back(variable.id);
        }
    }
    const ValueId scale = build_loss_scale(step, options);
    const std::vector<ValueId> gradients = differentiate(step.graph, step.total_loss, parameters, scale);
    append(step.fusions, fuse(step.graph, fusions, FusionStage::kStep));
    build_accumulation(step, options, parameters, gradients);
    if (options.updates) {
        build_update(step, options, parameters, gradients);
        build_averages(step, options);
    }
    step.graph.apply(OpKind::kAdvance, "advance", GatherAttrs{options.batch}, {}, {step.clock});
    if (options.updates) {  // what another step changes must not be prepared by this one
        append(step.fusions, prepare(step.graph, step.prepare, fusions));
    }
    return step;
}

Step input_step(const StepOptions& options) {
    Step step = begin(options, Mode::kTrain);
    step.input = gather_input(step, options, Mode::kTrain);
    step.graph.keep(step.input);
    return step;
}

Step evaluation_step(const ModelBuilder& model, const StepOptions& options) {
    Step step = begin(options, Mode::kInfer);
    const ValueId x = gather_input(step, options, Mode::kInfer);
    const Built built = build_model(step, model, options, x, Mode::kInfer);
    const ValueId ones = step.graph.add("unweighted", Role::kState, {{options.classes}, options.real});
    StepOptions plain = options;
    plain.label_smoothing = 0;
    build_loss(step, plain, built, ones);
    step.fusions = fuse(step.graph, options.fuse);
    apply_precision(step.graph, options.precision);
    append(step.fusions, fuse(step.graph, options.fuse, FusionStage::kStep));
    step.graph.apply(OpKind::kAdvance, "advance", GatherAttrs{options.batch}, {}, {step.clock});
    append(step.fusions, prepare(step.graph, step.prepare, options.fuse));
    return step;
}

}  // namespace fer
