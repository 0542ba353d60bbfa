// One function per command: adds it to the program and tells what running it does.
#pragma once

#include <CLI/CLI.hpp>

#include <functional>
#include <string>
#include <vector>

namespace fer::tool {

struct Program {
    CLI::App app;
    std::string command_line;  // as typed
    std::function<int()> run;  // of the command that was given

    // for every command
    bool quiet = false;
    bool verbose = false;
    bool no_color = false;
    int threads = 0;
};

void add_train(Program& program);
void add_evaluate(Program& program);
void add_predict(Program& program);
void add_report(Program& program);
void add_export(Program& program);
void add_import(Program& program);
void add_summary(Program& program);
void add_plan(Program& program);
void add_data(Program& program);
void add_recipe(Program& program);
void add_weights(Program& program);
void add_doctor(Program& program);

/// A check that a word is one of `choices`; the message names the nearest.
CLI::Validator one_of(std::vector<std::string> choices);

}  // namespace fer::tool
