#include "engine/data/layout.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <map>
#include <set>
#include <string_view>

#include "engine/core/text.hpp"

namespace fer {
namespace {

constexpr std::array<std::string_view, 2> kFolds{"train", "test"};
constexpr std::array<std::string_view, 7> kSuffixes{"png", "jpg", "jpeg", "bmp", "ppm", "tif", "tiff"};

std::string_view head_of(std::string_view path) { return path.substr(0, path.find('/')); }

std::string_view rest_of(std::string_view path) {
    const std::size_t slash = path.find('/');
    return slash == std::string_view::npos ? std::string_view{} : path.substr(slash + 1);
}

/// Keras looks at the end of the name only, so "photo.final-png" counts and "photo.png.bak" does not.
bool has_image_name(std::string_view name) {
    std::string lower(name);
    std::ranges::transform(lower, lower.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    return std::ranges::any_of(kSuffixes, [&](std::string_view suffix) { return lower.ends_with(suffix); });
}

/// The hidden folder on the way to `item`, up to and including it; empty if there is none.
std::string hidden_folder(const Item& item) {
    const std::string_view path = item.path;
    for (std::size_t start = 0; start < path.size();) {
        const std::size_t end = std::min(path.find('/', start), path.size());
        if ((end < path.size() || item.is_folder) && is_hidden(path.substr(start, end - start))) {
            return std::string(path.substr(0, end));
        }
        start = end + 1;
    }
    return {};
}

struct Candidate {
    const Item* item;
    Fold fold;
    std::string_view class_name, folder, name;

    auto order() const { return std::tie(fold, class_name, folder, name); }
};

/// What arrange() collects in one pass over the items.
struct Found {
    std::array<std::set<std::string, std::less<>>, 2> classes;
    std::vector<Candidate> images;
    std::set<std::string> hidden;
    std::vector<std::string> others;
};

Found look_through(std::span<const Item> items) {
    Found found;
    for (const Item& item : items) {
        const std::string_view path = item.path;
        const bool in_train = head_of(path) == kFolds[0];
        if (!in_train && head_of(path) != kFolds[1]) {
            continue;
        }
        if (std::string hidden = hidden_folder(item); !hidden.empty()) {
            found.hidden.insert(std::move(hidden));
            continue;
        }
        const std::string_view below = rest_of(path);
        const std::string_view class_name = head_of(below);
        const bool in_class = class_name.size() < below.size();
        if (in_class || (item.is_folder && !class_name.empty())) {
            found.classes[in_train ? 0 : 1].emplace(class_name);
        }
        if (item.is_folder) {
            continue;
        }
        const std::size_t slash = path.rfind('/');
        const std::string_view name = path.substr(slash + 1);
        if (in_class && has_image_name(name)) {
            const Fold fold = in_train ? Fold::kTrain : Fold::kTest;
            found.images.push_back({&item, fold, class_name, path.substr(0, slash), name});
        } else {
            found.others.push_back(item.path);
        }
    }
    return found;
}

void check_found(const Found& found, const std::string& source) {
    for (const std::size_t here : {0u, 1u}) {
        if (found.classes[here].empty()) {
            throw DataError(fmt::format("{}: {}/ holds no class folders", source, kFolds[here]))
                .because("images are looked for in train/<class>/ and test/<class>/")
                .try_this("one folder per class, as in the Kaggle data set msambare/fer2013");
        }
        for (const std::string& name : found.classes[here]) {
            if (!found.classes[1 - here].contains(name)) {
                const std::string near = nearest(name, found.classes[1 - here]);
                throw DataError(fmt::format("{}: class '{}' is in {}/ but not in {}/", source, name, kFolds[here],
                                            kFolds[1 - here]))
                    .because("both need the same class folders")
                    .try_this(near.empty() ? "add the missing folder, or remove the extra one"
                                           : fmt::format("is '{}' the same class? then rename it", near));
            }
        }
    }
    std::set<std::pair<Fold, std::string_view>> filled;
    for (const Candidate& image : found.images) {
        filled.emplace(image.fold, image.class_name);
    }
    for (const std::size_t here : {0u, 1u}) {
        for (const std::string& name : found.classes[here]) {
            if (!filled.contains({static_cast<Fold>(here), name})) {
                throw DataError(fmt::format("{}: class folder {}/{} holds no images", source, kFolds[here], name))
                    .because("files ending in png, jpg, jpeg, bmp, ppm, tif or tiff are looked for")
                    .try_this("put its images back, or remove the class from train/ and test/");
            }
        }
    }
}

std::vector<std::string> notes_of(const Found& found) {
    std::vector<std::string> notes;
    for (const std::string& folder : found.hidden) {
        notes.push_back(fmt::format("hidden folder {} left out (Keras would count it)", folder));
    }
    if (!found.others.empty()) {
        notes.push_back(fmt::format("{} left out: not an image by name, or not in a class folder (first: {})",
                                    found.others.size() == 1 ? "1 file" : fmt::format("{} files", found.others.size()),
                                    *std::ranges::min_element(found.others)));
    }
    return notes;
}

}  // namespace

bool is_hidden(std::string_view name) { return name.starts_with('.') || name == "__MACOSX"; }

void refuse_layout(const std::string& source, std::vector<std::string> top_names) {
    std::ranges::sort(top_names);
    std::string shown;
    for (std::size_t i = 0; i < top_names.size() && i < 5; ++i) {
        shown += (i > 0 ? ", " : "") + top_names[i];
    }
    shown += top_names.size() > 5 ? ", ..." : "";
    const bool has_csv = std::ranges::any_of(top_names, [](const std::string& n) { return n.ends_with(".csv"); });
    throw DataError(fmt::format("{}: no train/ and test/ folders in it", source))
        .because(shown.empty() ? "it is empty" : fmt::format("it holds {}", shown))
        .try_this(has_csv ? "name the .csv file itself as --data"
                          : "train/<class>/*.jpg and test/<class>/*.jpg are expected, or use --data synthetic");
}

std::vector<Item> below_base(std::vector<Item> items, const std::string& source) {
    // Which of train, test each possible base holds; "" is the root.
    std::map<std::string, std::set<std::string>, std::less<>> folds_in;
    std::set<std::string> top;
    const auto consider = [&](std::string_view base, std::string_view path, bool is_folder) {
        const std::string_view head = head_of(path);
        if ((head == kFolds[0] || head == kFolds[1]) && (head.size() < path.size() || is_folder)) {
            folds_in[std::string(base)].emplace(head);
        }
    };
    for (const Item& item : items) {
        const std::string_view head = head_of(item.path);
        if (is_hidden(head)) {
            continue;
        }
        top.emplace(head);
        consider("", item.path, item.is_folder);
        consider(head, rest_of(item.path), item.is_folder);
    }
    std::erase_if(folds_in, [](const auto& base) { return base.second.size() < 2; });
    if (folds_in.contains("")) {
        return items;
    }
    if (folds_in.size() != 1) {
        refuse_layout(source, {top.begin(), top.end()});
    }
    const std::string prefix = folds_in.begin()->first + "/";
    std::erase_if(items, [&](const Item& item) { return !item.path.starts_with(prefix); });
    for (Item& item : items) {
        item.path.erase(0, prefix.size());
    }
    std::erase_if(items, [](const Item& item) { return item.path.empty(); });
    return items;
}

Layout arrange(std::span<const Item> items, const std::string& source) {
    Found found = look_through(items);
    check_found(found, source);
    std::ranges::sort(found.images, [](const Candidate& a, const Candidate& b) {
        return a.order() != b.order() ? a.order() < b.order() : a.item->index < b.item->index;
    });
    Layout layout;
    layout.classes.assign(found.classes[0].begin(), found.classes[0].end());
    layout.notes = notes_of(found);
    const Candidate* previous = nullptr;
    for (const Candidate& image : found.images) {
        if (previous != nullptr && previous->order() == image.order()) {
            layout.notes.push_back(fmt::format("{} is listed twice; the first one is used", image.item->path));
            continue;
        }
        previous = &image;
        const auto at = std::ranges::lower_bound(layout.classes, image.class_name);
        layout.slots.push_back({.name = image.item->path,
                                .fold = image.fold,
                                .usage = usage_of_name(image.name),
                                .label = static_cast<std::int32_t>(at - layout.classes.begin())});
        layout.indices.push_back(image.item->index);
    }
    return layout;
}

}  // namespace fer
