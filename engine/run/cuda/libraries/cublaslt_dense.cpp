// Dense layers by cuBLASLt. Its matrices are column-major, so a row-major product is taken as that of the transposes.
// With 16-bit operands it adds a bias in that type: rounded. Sums are float32, split only into workspace: same bits
// on every run. https://docs.nvidia.com/cuda/cublas (cublasLt)
#include <cublasLt.h>
#include <cuda_runtime.h>

#include <array>
#include <map>
#include <memory>
#include <vector>

#include "engine/run/cuda/handwritten/common.hpp"
#include "engine/run/cuda/libraries/lists.hpp"
#include "engine/run/cuda/libraries/shared_library.hpp"
#include "engine/run/cuda/libraries/workspace.hpp"
#include "kernels/bias.hpp"
#include "kernels/cast.hpp"

namespace fer::cuda {
namespace {

using fer::Activation;  // of the graph, not of the kernels

constexpr std::size_t kRanks = 2;                              // algorithms that a plan may choose among
constexpr std::size_t kMostWorkspace = std::size_t{32} << 20;  // as cuBLAS itself asks for on Hopper

/// The library, and the GPU of this process.
struct Cublas {
    SharedLibrary shared{"libcublasLt.so.13", "FER_CUBLASLT"};
    decltype(cublasLtGetVersion)* version;
    decltype(cublasLtCreate)* create;
    decltype(cublasLtMatmul)* matmul;
    decltype(cublasLtMatmulDescCreate)* desc_create;
    decltype(cublasLtMatmulDescDestroy)* desc_destroy;
    decltype(cublasLtMatmulDescSetAttribute)* desc_set;
    decltype(cublasLtMatrixLayoutCreate)* layout_create;
    decltype(cublasLtMatrixLayoutDestroy)* layout_destroy;
    decltype(cublasLtMatmulPreferenceCreate)* preference_create;
    decltype(cublasLtMatmulPreferenceDestroy)* preference_destroy;
    decltype(cublasLtMatmulPreferenceSetAttribute)* preference_set;
    decltype(cublasLtMatmulAlgoGetHeuristic)* heuristic;
    decltype(cublasLtMatmulAlgoConfigGetAttribute)* config_get;
    decltype(cublasLtGetStatusString)* status_string;
    cublasLtHandle_t handle = nullptr;
    std::optional<std::string> missing;

    Cublas() {
        shared.bind(version, "cublasLtGetVersion");
        shared.bind(create, "cublasLtCreate");
        shared.bind(matmul, "cublasLtMatmul");
        shared.bind(desc_create, "cublasLtMatmulDescCreate");
        shared.bind(desc_destroy, "cublasLtMatmulDescDestroy");
        shared.bind(desc_set, "cublasLtMatmulDescSetAttribute");
        shared.bind(layout_create, "cublasLtMatrixLayoutCreate");
        shared.bind(layout_destroy, "cublasLtMatrixLayoutDestroy");
        shared.bind(preference_create, "cublasLtMatmulPreferenceCreate");
        shared.bind(preference_destroy, "cublasLtMatmulPreferenceDestroy");
        shared.bind(preference_set, "cublasLtMatmulPreferenceSetAttribute");
        shared.bind(heuristic, "cublasLtMatmulAlgoGetHeuristic");
        shared.bind(config_get, "cublasLtMatmulAlgoConfigGetAttribute");
        shared.bind(status_string, "cublasLtGetStatusString");
        int devices = 0;
        if (shared.missing()) {
            missing = shared.missing();
        } else if (cudaGetDeviceCount(&devices) != cudaSuccess || devices == 0) {
            missing = "there is no GPU to ask cuBLASLt about";
        } else if (const cublasStatus_t status = create(&handle); status != CUBLAS_STATUS_SUCCESS) {
            missing = fmt::format("cublasLtCreate: {}", status_string(status));
        }
    }
};

Cublas& cublas() {
    static Cublas one;
    return one;
}

void check(cublasStatus_t status, const char* call) {
    if (status != CUBLAS_STATUS_SUCCESS) {
        throw DeviceError(fmt::format("{}: {}", call, cublas().status_string(status)));
    }
}

cudaDataType_t type_of(DType dtype) {
    switch (dtype) {
        case DType::kF16:
            return CUDA_R_16F;
        case DType::kBF16:
            return CUDA_R_16BF;
        default:
            return CUDA_R_32F;
    }
}

/// One operand, `rows` x `columns` column by column without gaps.
struct Matrix {
    std::int64_t rows, columns;
    DType dtype;
    bool transposed = false;
};

/// d = a b, with d (a.rows x b.columns) after transposition.
struct Product {
    Matrix a, b, d;
    bool tf32 = false;
    bool bias = false;
    Activation activation = Activation::kNone;
};

using Layout = std::shared_ptr<cublasLtMatrixLayoutOpaque_t>;

Layout layout_of(const Matrix& m) {
    cublasLtMatrixLayout_t raw = nullptr;
    check(cublas().layout_create(&raw, type_of(m.dtype), static_cast<std::uint64_t>(m.rows),
                                 static_cast<std::uint64_t>(m.columns), m.rows),
          "cublasLtMatrixLayoutCreate");
    return {raw, [](cublasLtMatrixLayout_t l) { static_cast<void>(cublas().layout_destroy(l)); }};
}

/// A product, ready to be asked for algorithms and to be computed.
class Matmul {
public:
    explicit Matmul(const Product& p) : a_(layout_of(p.a)), b_(layout_of(p.b)), d_(layout_of(p.d)) {
        cublasLtMatmulDesc_t raw = nullptr;
        check(cublas().desc_create(&raw, p.tf32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F, CUDA_R_32F),
              "cublasLtMatmulDescCreate");
        desc_ = {raw, [](cublasLtMatmulDesc_t d) { static_cast<void>(cublas().desc_destroy(d)); }};
        set(CUBLASLT_MATMUL_DESC_TRANSA, p.a.transposed ? CUBLAS_OP_T : CUBLAS_OP_N);
        set(CUBLASLT_MATMUL_DESC_TRANSB, p.b.transposed ? CUBLAS_OP_T : CUBLAS_OP_N);
        const bool relu = p.activation == Activation::kRelu;
        set(CUBLASLT_MATMUL_DESC_EPILOGUE, p.bias ? relu ? CUBLASLT_EPILOGUE_RELU_BIAS : CUBLASLT_EPILOGUE_BIAS
                                           : relu ? CUBLASLT_EPILOGUE_RELU
                                                  : CUBLASLT_EPILOGUE_DEFAULT);
        if (p.bias) {
            set(CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, type_of(p.d.dtype));
        }
    }

    std::vector<cublasLtMatmulHeuristicResult_t> algorithms() const {
        cublasLtMatmulPreference_t raw = nullptr;
        check(cublas().preference_create(&raw), "cublasLtMatmulPreferenceCreate");
        const std::shared_ptr<cublasLtMatmulPreferenceOpaque_t> preference(
            raw, [](cublasLtMatmulPreference_t p) { static_cast<void>(cublas().preference_destroy(p)); });
        const std::uint32_t reductions = CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE;
        check(cublas().preference_set(raw, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &kMostWorkspace,
                                      sizeof kMostWorkspace),
              "cublasLtMatmulPreferenceSetAttribute");
        check(cublas().preference_set(raw, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, &reductions, sizeof reductions),
              "cublasLtMatmulPreferenceSetAttribute");
        std::vector<cublasLtMatmulHeuristicResult_t> found(kRanks);
        int count = 0;
        if (cublas().heuristic(cublas().handle, desc_.get(), a_.get(), b_.get(), d_.get(), d_.get(), raw, kRanks,
                               found.data(), &count) != CUBLAS_STATUS_SUCCESS) {
            count = 0;
        }
        found.resize(static_cast<std::size_t>(count));
        return found;
    }

    void run(const cublasLtMatmulAlgo_t& algorithm, const void* a, const void* b, const void* bias, void* d,
             void* workspace, std::size_t bytes, cudaStream_t stream) const {
        if (bias != nullptr) {
            check(cublas().desc_set(desc_.get(), CUBLASLT_MATMUL_DESC_BIAS_POINTER, &bias, sizeof bias),
                  "cublasLtMatmulDescSetAttribute");
        }
        const float one = 1;
        const float zero = 0;
        check(cublas().matmul(cublas().handle, desc_.get(), &one, a, a_.get(), b, b_.get(), &zero, d, d_.get(), d,
                              d_.get(), &algorithm, workspace, bytes, stream),
              "cublasLtMatmul");
    }

private:
    template <class T>
    void set(cublasLtMatmulDescAttributes_t name, T value) {
        check(cublas().desc_set(desc_.get(), name, &value, sizeof value), "cublasLtMatmulDescSetAttribute");
    }

    Layout a_, b_, d_;
    std::shared_ptr<cublasLtMatmulDescOpaque_t> desc_;
};

/// y (n, m) = x (n, k) w (k, m), and its gradients: as column-major matrices the transposes of all of them.
Product product_of(const OpDesc& op) {
    const auto& attrs = op.as<DenseAttrs>();
    const DType type = op.in[0].dtype;
    Product p{.a = {}, .b = {}, .d = {}, .tf32 = attrs.tf32};
    const Shape& first = op.in[0].shape;
    const Shape& second = op.in[1].shape;
    switch (op.kind) {
        case OpKind::kDense:  // x, w -> y
            p.a = {second[1], second[0], type};
            p.b = {first[1], first[0], type};
            p.d = {second[1], first[0], op.out[0].dtype};
            p.bias = op.in.size() == 3;
            p.activation = attrs.activation;
            break;
        case OpKind::kDenseDgrad:  // dy, w -> dx
            p.a = {second[1], second[0], type, true};
            p.b = {first[1], first[0], type};
            p.d = {second[0], first[0], op.out[0].dtype};
            break;
        default:  // x, dy -> dw
            p.a = {second[1], second[0], type};
            p.b = {first[1], first[0], type, true};
            p.d = {second[1], first[1], op.out[0].dtype};
            break;
    }
    return p;
}

struct Known {
    std::shared_ptr<const Matmul> matmul;
    std::vector<cublasLtMatmulHeuristicResult_t> algorithms;
};

/// Asked once per problem.
const Known& known(const OpDesc& op) {
    static std::map<std::string, Known> all;
    const auto& attrs = op.as<DenseAttrs>();
    const std::string key = fmt::format("{} {} {} {} {} {} {} {}", static_cast<int>(op.kind), op.in[0].shape.str(),
                                        op.in[1].shape.str(), name_of(op.in[0].dtype), name_of(op.out[0].dtype),
                                        static_cast<int>(attrs.activation), attrs.tf32, op.in.size());
    const auto found = all.find(key);
    if (found != all.end()) {
        return found->second;
    }
    const auto matmul = std::make_shared<const Matmul>(product_of(op));
    return all[key] = {matmul, matmul->algorithms()};
}

template <std::size_t Rank>
Refusal refuses(const OpDesc& op) {
    if (op.in[1].dtype != op.in[0].dtype) {
        return "operands of two types";
    }
    if (op.as<DenseAttrs>().activation == Activation::kRelu6 && op.kind == OpKind::kDense) {
        return "has no relu6";
    }
    if (op.in[0].shape.count() == 0 || op.in[1].shape.count() == 0) {
        return "an empty tensor";
    }
    if (Refusal why = refusal(op)) {
        return why;
    }
    if (cublas().missing) {
        return cublas().missing;
    }
    std::size_t found = 0;
    try {
        found = known(op).algorithms.size();
    } catch (const DeviceError& error) {  // a product that cuBLASLt will not have is no fault of the device
        return error.what();
    }
    if (found > Rank) {
        return std::nullopt;
    }
    return found == 0 ? std::string("no algorithm supports it") : fmt::format("{} algorithms support it", found);
}

struct Scratch {
    std::int64_t bias, bias_gradient, algorithm, bytes;
};

template <std::size_t Rank>
Scratch scratch(const OpDesc& op) {
    Parts parts;
    Scratch s{};
    const bool rounded = op.kind == OpKind::kDense && op.in.size() == 3 && op.out[0].dtype != DType::kF32;
    s.bias = parts.add(rounded ? op.out[0].shape[1] * 2 : 0);
    const bool gradient = op.kind == OpKind::kDenseWgrad && op.out.size() == 2;
    const Shape& dy = op.in[1].shape;
    s.bias_gradient =
        parts.add(gradient ? static_cast<std::int64_t>(bias_grad_workspace(rows_of(dy), channels_of(dy))) : 0);
    s.algorithm = parts.add(static_cast<std::int64_t>(known(op).algorithms[Rank].workspaceSize));
    s.bytes = parts.bytes();
    return s;
}

template <std::size_t Rank>
std::int64_t workspace(const OpDesc& op) {
    return scratch<Rank>(op).bytes;
}

template <std::size_t Rank>
std::string note(const OpDesc& op) {
    int id = 0;
    std::size_t written = 0;
    check(cublas().config_get(&known(op).algorithms[Rank].algo, CUBLASLT_ALGO_CONFIG_ID, &id, sizeof id, &written),
          "cublasLtMatmulAlgoConfigGetAttribute");
    return fmt::format("algorithm {}", id);
}

template <std::size_t Rank>
Kernel make(const OpDesc& op) {
    const Known& problem = known(op);
    return [op, matmul = problem.matmul, found = problem.algorithms[Rank], s = scratch<Rank>(op)](const Operands& t) {
        const cudaStream_t stream = stream_of(t);
        // In column-major order the second operand comes first.
        const void* a = t.in[1];
        const void* b = t.in[0];
        const void* bias = nullptr;
        if (op.kind == OpKind::kDense && op.in.size() == 3) {
            bias = t.in[2];
            if (op.out[0].dtype != DType::kF32) {
                void* rounded = at(t.workspace, s.bias);
                port::cast({.x = t.in[2],
                            .y = rounded,
                            .count = op.out[0].shape[1],
                            .from = DType::kF32,
                            .to = op.out[0].dtype},
                           stream);
                bias = rounded;
            }
        }
        matmul->run(found.algo, a, b, bias, t.out[0], at(t.workspace, s.algorithm), found.workspaceSize, stream);
        if (op.kind == OpKind::kDenseWgrad && op.out.size() == 2) {
            bias_bwd({.dy = t.in[1],
                      .db = t.output<float>(1),
                      .dtype = op.in[1].dtype,
                      .rows = rows_of(op.in[1].shape),
                      .c = channels_of(op.in[1].shape),
                      .workspace = at(t.workspace, s.bias_gradient)},
                     stream);
        }
    };
}

constexpr std::array kList{
    Implementation{"cublaslt", refuses<0>, workspace<0>, make<0>, note<0>},
    Implementation{"cublaslt.2", refuses<1>, workspace<1>, make<1>, note<1>},
};

}  // namespace

std::string cublaslt_version() {
    if (cublas().shared.missing()) {
        return "no cuBLASLt";
    }
    const std::size_t v = cublas().version();
    return fmt::format("cuBLASLt {}.{}.{}", v / 10000, v / 100 % 100, v % 100);
}

std::span<const Implementation> cublaslt_dense() { return kList; }
std::span<const Implementation> cublaslt_dense_dgrad() { return kList; }
std::span<const Implementation> cublaslt_dense_wgrad() { return kList; }

}  // namespace fer::cuda
