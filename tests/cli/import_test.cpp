// Keras in, ONNX and Keras out, by the program.
#include "tests/cli/program.hpp"

#include "engine/formats/keras_h5.hpp"

namespace fer::test {
namespace {

using ::testing::HasSubstr;

std::string golden(const std::string& name) {
    return std::string(FER_SOURCE_DIR) + "/tests/golden/interchange/" + name;
}

class ImportTest : public ProgramTest {};

TEST_F(ImportTest, ImportEvaluateTrainAndExportAnyClassifier) {
    ok("train simpler_cnn --width 0.1 --data synthetic:70 --batch 16 --epochs 1 --out runs");
    ok("export runs/latest --format h5 --output net.h5");
    const std::string before = ok("evaluate runs/latest --data synthetic:70 --json --out e1").out;

    const Outcome imported = ok("import net.h5 --class-order folder");
    EXPECT_THAT(imported.out, HasSubstr("conv2d: conv2d/kernel:0"));
    EXPECT_THAT(imported.out, HasSubstr("saved net.safetensors"));
    const auto was = nlohmann::json::parse(before);
    const auto is = nlohmann::json::parse(ok("evaluate net.safetensors --data synthetic:70 --json --out e2").out);
    EXPECT_EQ(was["hits"], is["hits"]);
    EXPECT_NEAR(was["loss"].get<double>(), is["loss"].get<double>(), 1e-6);
    EXPECT_EQ(read("e1/predictions.csv"), read("e2/predictions.csv"));

    for (const char* format : {"onnx", "h5", "keras", "safetensors"}) {
        EXPECT_THAT(ok(fmt::format("export net.safetensors --format {} --output out.{}", format, format)).out,
                    HasSubstr("read back: largest difference"));
    }
    // Looked at: a weights file, a run, and Keras's two kinds of files describe the same network.
    const std::string total = " Total params: ";
    const std::string whole = ok("summary simpler_cnn --width 0.1").out;
    for (const char* subject : {"net.safetensors", "runs/latest", "net.h5", "out.keras"}) {
        const std::string seen = ok(fmt::format("summary {}", subject)).out;
        EXPECT_EQ(seen.substr(seen.find(total)), whole.substr(whole.find(total))) << subject;
        EXPECT_THAT(ok(fmt::format("plan {} --batch 4 --phase infer", subject)).out, HasSubstr("conv2d_1")) << subject;
    }
    fails(3, "summary nothing.safetensors", "no such run or weights file: nothing.safetensors");
    fails(2, "plan net.h5 --width 0.5", "--width is for networks by name");
    // Fine-tuned, resumed, evaluated: the layers stay those of the file.
    ok("train --weights net.safetensors --data synthetic:70 --batch 16 --epochs 1 --out tuned --freeze max_pooling2d");
    ok("train --resume tuned/latest --epochs 2");
    ok("evaluate tuned/latest");
    ok("export tuned/latest --output tuned.onnx");
}

TEST_F(ImportTest, ClassOrderIsAskedForAndFollowed) {
    ok("train simpler_cnn --width 0.1 --data synthetic:70 --batch 16 --epochs 1 --out runs");
    ok("export runs/latest --format h5 --output net.h5");
    fails(3, "import net.h5", "class order of 'net.h5' is unknown");
    ok("import net.h5 --class-order csv --output csv.safetensors");
    ok("evaluate csv.safetensors --data synthetic:70 --out e");
    EXPECT_THAT(read("e/classification_report.txt"), HasSubstr("surprise"));
    fails(2, "import net.h5 --classes a,b", "2 names for 7 outputs");
    ok("import net.h5 --classes a,b,c,d,e,f,g --output named.safetensors");
    fails(3, "evaluate named.safetensors --data synthetic:70", "its classes are not the model's");
}

TEST_F(ImportTest, OntoANetworkOfItsOwn) {
    fails(3, "import " + golden("random_003.h5") + " --model custom_cnn", "does not fit custom_cnn");
    fails(2, "import " + golden("random_003.h5") + " --model custom", "unknown model 'custom'");
    EXPECT_THAT(ok("import --list " + golden("random_003.h5")).out, HasSubstr("with its layer graph"));
}

TEST_F(ImportTest, BadFilesEndWithThree) {
    write("lfs.h5", "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 94765736\n");
    EXPECT_THAT(fails(3, "import lfs.h5", "lfs.h5 is a Git LFS pointer (").err, HasSubstr("try: "));
    write("page.h5", "<html></html>");
    fails(3, "import page.h5", "page.h5 is a web page");
    write("cut.h5", read_file(golden("random_003.h5")).substr(0, 9000));
    EXPECT_THAT(fails(3, "import cut.h5", "cut.h5 is not a usable Keras file").err, HasSubstr("truncated: 9000 bytes"));
    write("huge.safetensors", std::string("\xff\xff\xff\xff\xff\xff\xff\x7f{\"a\":1}", 15));
    fails(3, "import huge.safetensors", "not a usable safetensors file");
    fails(3, "import none.h5", "cannot read none.h5");
    fails(3, "export none", "no such run or weights file");
    EXPECT_EQ(tree().size(), 4u) << "nothing was written";
}

TEST_F(ImportTest, AnExportThatDiffersIsNotKept) {
    ok("train residual_cnn --width 0.05 --data synthetic:70 --batch 16 --epochs 1 --out runs");
    const Outcome exact = ok("export runs/latest --output net.onnx");
    EXPECT_THAT(exact.out, HasSubstr("(tolerance 1e-05)"));
    EXPECT_TRUE(fs::exists(*this / "net.onnx"));
    fails(2, "export runs/latest --tolerance -1", "--tolerance");
}

TEST_F(ImportTest, TrunksWaitForTheirHead) {
    fails(3, "train --weights none.safetensors simpler_cnn --data synthetic:70", "no such run or weights file");
    fails(2, "train simpler_cnn --freeze nothing --width 0.1 --data synthetic:70",
          "simpler_cnn has no layer 'nothing'");
    ok("train simpler_cnn --width 0.1 --data synthetic:70 --batch 16 --epochs 1 --out runs");
    fails(3, "train custom_cnn --width 0.1 --weights runs/latest --data synthetic:70 --batch 16 --out runs",
          "does not fit this model");
}

TEST_F(ImportTest, OfficialWeightsByName) {
    const Start here{.environment = {{"KERAS_HOME", (*this / "keras").string()}, {"no_proxy", "127.0.0.1"}}};
    const std::string list = ok("weights list", here).out;
    EXPECT_THAT(list, HasSubstr("resnet50v2-notop"));
    EXPECT_THAT(list, HasSubstr("94,668,760 bytes"));
    fails(3, "weights path vgg16-notop", "vgg16-notop is not there yet", here);
    fails(2, "weights get vgg61", "no official weights are named 'vgg61'", here);
    // Nobody listens there: how to carry the file by hand.
    const Outcome offline =
        fails(8, "weights get vgg16-notop --mirror http://127.0.0.1:1", "cannot be downloaded", here);
    EXPECT_THAT(offline.err, HasSubstr("6d6bbae143d832006294945121d1f1fc"));
    EXPECT_THAT(offline.err, HasSubstr("keras/models/vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5"));
    write("vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5", "short");
    fails(7, "weights verify vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5",
          "this is not the official vgg16-notop");
    write("keras/models/vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5", "short");
    fails(3, "weights get vgg16-notop", "the file kept for vgg16-notop is not the official one", here);
    ok("weights path vgg16-notop", here);
}

}  // namespace
}  // namespace fer::test
