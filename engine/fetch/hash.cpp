#include "engine/fetch/hash.hpp"

#include <openssl/evp.h>

#include <fstream>
#include <memory>
#include <vector>

#include "engine/core/error.hpp"

namespace fer {

std::string hash_of_file(const std::filesystem::path& path, Hash hash) {
    std::ifstream in(path, std::ios::binary);
    if (!in) {
        throw DataError(fmt::format("cannot read {}", path.string()));
    }
    const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(EVP_MD_CTX_new(), EVP_MD_CTX_free);
    FER_ASSERT(context && EVP_DigestInit_ex(context.get(), hash == Hash::kMd5 ? EVP_md5() : EVP_sha256(), nullptr) == 1,
               "the hash cannot be started");
    std::vector<char> block(std::size_t{1} << 20);
    while (in.read(block.data(), static_cast<std::streamsize>(block.size())), in.gcount() > 0) {
        EVP_DigestUpdate(context.get(), block.data(), static_cast<std::size_t>(in.gcount()));
    }
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned length = 0;
    EVP_DigestFinal_ex(context.get(), digest, &length);
    std::string text;
    for (unsigned i = 0; i < length; ++i) {
        text += fmt::format("{:02x}", digest[i]);
    }
    return text;
}

}  // namespace fer
