// Errors by kind and by what they say: the line itself, its reason and its advice together.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "engine/core/error.hpp"

namespace fer::test {

/// The text of the error that `body` throws, "what / why / hint"; fails if it throws another kind or nothing.
template <class Kind, class Body>
std::string error_of(Body body) {
    try {
        body();
    } catch (const Kind& error) {
        return std::string(error.what()) + " / " + error.why() + " / " + error.hint();
    } catch (const std::exception& error) {
        ADD_FAILURE() << "another kind of error: " << error.what();
        return {};
    }
    ADD_FAILURE() << "no error";
    return {};
}

}  // namespace fer::test
