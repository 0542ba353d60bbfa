// A program of commands: its options, its errors in three lines, its exit status.
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

/// Parses the command line, with what `build` has added to the options of every program, runs the command and returns
/// the exit status. Whatever is thrown becomes an error on stderr.
int run_program(const char* name, void (*build)(Program&), int argc, char** argv);

/// A check that a word is one of `choices`; the message names the nearest.
CLI::Validator one_of(std::vector<std::string> choices);

}  // namespace fer::tool
