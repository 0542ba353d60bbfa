// fer-bench: how fast networks train and run here, where the time goes, and how that compares.
#include "tools/fer-bench/commands.hpp"

namespace {

constexpr const char* kExamples =
    "fer-bench: how fast networks train and run here, where the time goes, and how that compares\n\n"
    "  fer-bench run --models simpler_cnn --batch 1,64 --json a.json\n"
    "  fer-bench profile simpler_cnn\n"
    "  fer-bench compare a.json b.json --fail-above 3\n";

void build(fer::tool::Program& program) {
    program.app.description(kExamples);
    fer::tool::add_run(program);
    fer::tool::add_profile(program);
    fer::tool::add_layer(program);
    fer::tool::add_ops(program);
    fer::tool::add_compare(program);
    fer::tool::add_import_external(program);
    fer::tool::add_nsight(program);
}

}  // namespace

int main(int argc, char** argv) { return fer::tool::run_program("fer-bench", build, argc, argv); }
