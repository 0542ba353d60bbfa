// How well predictions match labels, in the words of scikit-learn.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace fer {

/// counts[true * classes + predicted]
struct ConfusionMatrix {
    std::vector<std::string> classes;
    std::vector<std::int64_t> counts;

    explicit ConfusionMatrix(std::vector<std::string> names)
        : classes(std::move(names)), counts(classes.size() * classes.size(), 0) {}

    std::int64_t& at(std::size_t truth, std::size_t predicted) { return counts[truth * classes.size() + predicted]; }
    std::int64_t at(std::size_t truth, std::size_t predicted) const {
        return counts[truth * classes.size() + predicted];
    }
    std::int64_t total() const;
    std::int64_t hits() const;
};

/// The lowest index of the largest probability.
int argmax(std::span<const float> probabilities);

/// Row i of `probabilities` (n, classes) against labels[i].
ConfusionMatrix confusion_of(std::span<const float> probabilities, std::span<const std::int32_t> labels,
                             std::vector<std::string> classes);

struct ClassScore {
    double precision = 0, recall = 0, f1 = 0;  // 0/0 counts as 0; f1 is 2 hits / (true + predicted)
    std::int64_t support = 0;
};

struct Scores {
    std::vector<ClassScore> per_class;
    ClassScore macro, weighted;
    double accuracy = 0;
    double balanced_accuracy = 0;  // mean recall of the classes present
};
Scores scores_of(const ConfusionMatrix& matrix);

/// sklearn.metrics.classification_report(digits=2), to the letter; supports are whole numbers also where nothing is
/// right, for which sklearn prints "5.0".
std::string classification_report(const ConfusionMatrix& matrix);

/// sklearn.metrics.classification_report(output_dict=True) as JSON; supports are whole numbers.
std::string classification_json(const ConfusionMatrix& matrix);

/// Rows true, columns predicted, with headings; for terminals.
std::string confusion_table(const ConfusionMatrix& matrix);
/// A field of a CSV file: in quotes if it needs them.
std::string csv_field(const std::string& text);

/// The same as CSV, first column and row the class names.
std::string confusion_csv(const ConfusionMatrix& matrix);

/// 95 % Wilson score interval of hits/total.
struct Interval {
    double low = 0, high = 1;
};
Interval wilson(std::int64_t hits, std::int64_t total);

/// A mistake and how often it was made.
struct ConfusedPair {
    int truth = 0, predicted = 0;
    std::int64_t times = 0;
};
/// The `count` most frequent ones that happened at all; equal ones in the order of the matrix.
std::vector<ConfusedPair> confused_pairs(const ConfusionMatrix& matrix, int count);
/// The same in words: "fear->sad 214, sad->neutral 190".
std::string most_confused(const ConfusionMatrix& matrix, int count);

}  // namespace fer
