// Our networks as Keras's full-model files.
#pragma once

#include "engine/formats/keras_h5.hpp"
#include "engine/interchange/keras_config.hpp"
#include "engine/interchange/run_network.hpp"

namespace fer {

/// What write_keras_h5() writes: the layer graph and every layer's weights under Keras's names, in Keras's order. The
/// values stay the caller's. UsageError if a variable has none.
KerasFile to_keras(const Architecture& architecture, const VariableValues& values);

/// What write_keras_archive() writes: the same by container, as Keras v3 counts them.
KerasFile to_keras_archive(const Architecture& architecture, const VariableValues& values);

}  // namespace fer
