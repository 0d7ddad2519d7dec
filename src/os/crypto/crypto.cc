#include "os/crypto/crypto.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <utility>
#include <vector>

#include "base/check.h"
#include "os/errno_error.h"
#include "os/files.h"

namespace busbar::os {
namespace {

constexpr std::size_t kDigestBytes = 32;

const unsigned char* raw(std::string_view bytes) {
  return reinterpret_cast<const unsigned char*>(bytes.data());
}

}  // namespace

// OpenSSL fails here only when it is out of memory or misconfigured: then no digest can be trusted, hence the CHECKs.
struct Sha256::State {
  std::unique_ptr<EVP_MD_CTX, void (*)(EVP_MD_CTX*)> context{EVP_MD_CTX_new(), EVP_MD_CTX_free};
};

Sha256::Sha256() : state_(std::make_unique<State>()) {
  CHECK(state_->context != nullptr && EVP_DigestInit_ex(state_->context.get(), EVP_sha256(), nullptr) == 1,
        "cannot start SHA-256");
}

Sha256::Sha256(Sha256&&) noexcept = default;
Sha256& Sha256::operator=(Sha256&&) noexcept = default;
Sha256::~Sha256() = default;

void Sha256::update(std::string_view bytes) {
  CHECK(EVP_DigestUpdate(state_->context.get(), bytes.data(), bytes.size()) == 1, "cannot go on with SHA-256");
}

std::string Sha256::finish_hex() {
  std::string digest(kDigestBytes, '\0');
  unsigned size = 0;
  CHECK(EVP_DigestFinal_ex(state_->context.get(), reinterpret_cast<unsigned char*>(digest.data()), &size) == 1 &&
            size == kDigestBytes,
        "cannot finish SHA-256");
  return hex(digest);
}

std::string sha256(std::string_view bytes) {
  Sha256 digest;
  digest.update(bytes);
  return digest.finish_hex();
}

Result<std::string> sha256_file(const std::string& path) {
  TRY_ASSIGN(const UniqueFd file, open_file(path, O_RDONLY));
  Sha256 digest;
  std::vector<char> buffer(std::size_t{1} << 18);
  while (true) {
    const ssize_t got = ::read(file.get(), buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) {
      continue;
    }
    if (got < 0) {
      return errno_failure(fmt::format("cannot read {}", path));
    }
    if (got == 0) {
      return digest.finish_hex();
    }
    digest.update({buffer.data(), static_cast<std::size_t>(got)});
  }
}

std::string hmac_sha256(std::string_view key, std::string_view message) {
  std::string digest(kDigestBytes, '\0');
  unsigned size = 0;
  const auto* done = HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()), raw(message), message.size(),
                          reinterpret_cast<unsigned char*>(digest.data()), &size);
  CHECK(done != nullptr && size == kDigestBytes, "cannot make an HMAC");
  return digest;
}

std::string random_token(Random& random, std::size_t bytes) {
  std::vector<unsigned char> raw_bytes(bytes);
  random.fill(raw_bytes);
  return base64url({reinterpret_cast<const char*>(raw_bytes.data()), raw_bytes.size()});
}

std::string hex(std::string_view bytes) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string text;
  text.reserve(bytes.size() * 2);
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    text += kDigits[byte >> 4];
    text += kDigits[byte & 0xf];
  }
  return text;
}

std::string base64url(std::string_view bytes) {
  constexpr std::string_view kDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  std::string text;
  text.reserve((bytes.size() * 4 + 2) / 3);
  std::uint32_t window = 0;
  int bits = 0;
  for (const char c : bytes) {
    window = (window << 8) | static_cast<unsigned char>(c);
    for (bits += 8; bits >= 6; bits -= 6) {
      text += kDigits[(window >> (bits - 6)) & 0x3f];
    }
  }
  if (bits > 0) {
    text += kDigits[(window << (6 - bits)) & 0x3f];
  }
  return text;
}

bool constant_time_equal(std::string_view a, std::string_view b) {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

}  // namespace busbar::os
