// fer: train, evaluate and look at the FER2013 networks.
#include "tools/fer/commands.hpp"

namespace {

constexpr const char* kExamples =
    "fer: train and run the FER2013 emotion networks\n\n"
    "  fer train simpler_cnn --data fer2013.zip\n"
    "  fer evaluate runs/train/latest\n"
    "  fer predict runs/train/latest face.jpg\n";

void build(fer::tool::Program& program) {
    program.app.description(kExamples);
    fer::tool::add_train(program);
    fer::tool::add_evaluate(program);
    fer::tool::add_predict(program);
    fer::tool::add_report(program);
    fer::tool::add_import(program);
    fer::tool::add_export(program);
    fer::tool::add_summary(program);
    fer::tool::add_plan(program);
    fer::tool::add_data(program);
    fer::tool::add_recipe(program);
    fer::tool::add_weights(program);
    fer::tool::add_doctor(program);
}

}  // namespace

int main(int argc, char** argv) { return fer::tool::run_program("fer", build, argc, argv); }
