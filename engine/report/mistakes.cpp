#include "engine/report/mistakes.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "engine/core/error.hpp"

namespace fer {
namespace {

constexpr std::string_view kDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

std::string from_base64(std::string_view text, const std::string& path) {
    std::string bytes;
    unsigned bits = 0;
    int held = 0;
    for (const char c : text.substr(0, text.find('='))) {
        const std::size_t digit = kDigits.find(c);
        if (digit == std::string_view::npos) {
            throw DataError(fmt::format("{}: a picture is not base64", path)).try_this("fer evaluate writes it again");
        }
        bits = bits << 6 | static_cast<unsigned>(digit);
        held += 6;
        if (held >= 8) {
            held -= 8;
            bytes += static_cast<char>(bits >> held & 0xFF);
        }
    }
    return bytes;
}

template <class Choose>
std::vector<std::int64_t> surest(const Predictions& predictions, int count, Choose choose) {
    std::vector<std::int64_t> rows;
    for (std::int64_t i = 0; i < predictions.size(); ++i) {
        const int predicted = predictions.predicted(i);
        const int truth = predictions.truth[static_cast<std::size_t>(i)];
        if (truth != predicted && choose(truth, predicted)) {
            rows.push_back(i);
        }
    }
    std::ranges::stable_sort(rows, std::ranges::greater{},
                             [&](std::int64_t i) { return std::ranges::max(predictions.row(i)); });
    rows.resize(std::min(rows.size(), static_cast<std::size_t>(count)));
    return rows;
}

}  // namespace

std::vector<std::int64_t> worst_mistakes(const Predictions& predictions, int count) {
    return surest(predictions, count, [](int, int) { return true; });
}

std::vector<std::int64_t> worst_mistakes(const Predictions& predictions, int count, int truth, int predicted) {
    return surest(predictions, count, [&](int t, int p) { return t == truth && p == predicted; });
}

std::vector<std::int64_t> rows_to_picture(const Predictions& predictions) {
    std::set<std::int64_t> rows;
    rows.merge([&] {
        const auto worst = worst_mistakes(predictions, kWorstShown);
        return std::set(worst.begin(), worst.end());
    }());
    for (const ConfusedPair& pair : confused_pairs(predictions.confusion(), kPairsShown)) {
        const auto worst = worst_mistakes(predictions, kImagesOfAPair, pair.truth, pair.predicted);
        rows.insert(worst.begin(), worst.end());
    }
    return {rows.begin(), rows.end()};
}

std::string pictures_json(const Pictures& pictures, const Predictions& predictions) {
    nlohmann::ordered_json images = nlohmann::ordered_json::array();
    for (const auto& [row, png] : pictures) {
        images.push_back(
            {{"row", row}, {"file", predictions.files[static_cast<std::size_t>(row)]}, {"png", base64(png)}});
    }
    const nlohmann::ordered_json json{{"format", 1}, {"images", std::move(images)}};
    return json.dump(1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

Pictures parse_pictures(const std::string& json, const Predictions& predictions, const std::string& path) {
    Pictures pictures;
    const auto utf8 = [](const std::string& name) {
        return nlohmann::json(name).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
    };
    try {
        const auto parsed = nlohmann::json::parse(json);
        for (const auto& image : parsed.at("images")) {
            const auto row = image.at("row").get<std::int64_t>();
            if (row >= 0 && row < predictions.size() &&
                utf8(image.at("file")) == utf8(predictions.files[static_cast<std::size_t>(row)])) {
                pictures[row] = from_base64(image.at("png").get<std::string>(), path);
            }
        }
    } catch (const nlohmann::json::exception& error) {
        throw DataError(fmt::format("{}: not the pictures of an evaluation", path))
            .because(error.what())
            .try_this("fer evaluate writes it again");
    }
    return pictures;
}

std::string base64(const std::string& bytes) {
    std::string text;
    for (std::size_t i = 0; i < bytes.size(); i += 3) {
        unsigned word = 0;
        for (std::size_t k = 0; k < 3; ++k) {
            word = word << 8 | (i + k < bytes.size() ? static_cast<unsigned char>(bytes[i + k]) : 0u);
        }
        for (std::size_t k = 0; k < 4; ++k) {
            text += i + k > bytes.size() ? '=' : kDigits[word >> (18 - 6 * k) & 63];
        }
    }
    return text;
}

}  // namespace fer
