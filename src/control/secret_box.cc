#include "control/secret_box.h"

#include <fmt/format.h>
#include <sodium.h>

#include <array>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/text.h"
#include "control/internal/private_file.h"
#include "os/files.h"

namespace busbar::control {
namespace {

constexpr std::size_t kKeyBytes = crypto_aead_xchacha20poly1305_ietf_KEYBYTES;
constexpr std::size_t kNonceBytes = crypto_aead_xchacha20poly1305_ietf_NPUBBYTES;
constexpr std::size_t kTagBytes = crypto_aead_xchacha20poly1305_ietf_ABYTES;
constexpr std::size_t kMaxValueBytes = 1 << 20;
/// Names the algorithm and the layout: nonce, then ciphertext with its tag, in base64url.
constexpr std::string_view kFormat = "x1:";
constexpr int kBase64 = sodium_base64_VARIANT_URLSAFE_NO_PADDING;

const unsigned char* bytes_of(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}
unsigned char* bytes_of(std::string& text) {
  return reinterpret_cast<unsigned char*>(text.data());
}

std::string to_base64(std::string_view bytes) {
  std::string text(sodium_base64_encoded_len(bytes.size(), kBase64), '\0');
  sodium_bin2base64(text.data(), text.size(), bytes_of(bytes), bytes.size(), kBase64);
  text.pop_back();  // its NUL
  return text;
}

/// Empty if the text is not base64url.
std::string from_base64(std::string_view text) {
  std::string bytes(text.size(), '\0');
  std::size_t length = 0;
  if (sodium_base642bin(bytes_of(bytes), bytes.size(), text.data(), text.size(), nullptr, &length, nullptr, kBase64) !=
      0) {
    return {};
  }
  bytes.resize(length);
  return bytes;
}

std::string new_key_text() {
  std::string key(kKeyBytes, '\0');
  crypto_aead_xchacha20poly1305_ietf_keygen(bytes_of(key));
  std::string text = to_base64(key) + "\n";
  wipe(key);
  return text;
}

Error unseal_error(std::string_view name) {
  return {
      .code = ErrorCode::kDataCorrupt,
      .message = fmt::format("secret \"{}\" cannot be opened: secret.key is not the one that it was sealed with, or "
                             "the stored value was changed; set the secret again",
                             name)};
}

}  // namespace

/// Memory of libsodium: not swapped out, guarded on both sides, zeroed when freed.
struct SecretBox::Key {
  Key() : bytes(static_cast<unsigned char*>(sodium_malloc(kKeyBytes))) { CHECK(bytes != nullptr); }
  Key(const Key&) = delete;
  Key& operator=(const Key&) = delete;
  ~Key() { sodium_free(bytes); }

  unsigned char* bytes;
};

SecretBox::SecretBox(std::unique_ptr<Key> key) : key_(std::move(key)) {}
SecretBox::SecretBox(SecretBox&&) noexcept = default;
SecretBox& SecretBox::operator=(SecretBox&&) noexcept = default;
SecretBox::~SecretBox() = default;

Result<SecretBox> SecretBox::open(const std::string& state_dir) {
  if (sodium_init() < 0) {
    return make_error(ErrorCode::kUnsupported, "libsodium finds no source of randomness on this machine");
  }
  const std::string path = os::join_path(state_dir, "secret.key");
  TRY_ASSIGN(std::string text, read_or_make_private_file(path, "key file", new_key_text));
  std::string bytes = from_base64(trim(text));
  wipe(text);
  if (bytes.size() != kKeyBytes) {
    wipe(bytes);
    return make_error(ErrorCode::kDataCorrupt,
                      fmt::format("key file {} does not hold a key; put the right one back, or remove it and set every "
                                  "secret again",
                                  path));
  }
  auto key = std::make_unique<Key>();
  std::copy(bytes.begin(), bytes.end(), key->bytes);
  wipe(bytes);
  return SecretBox(std::move(key));
}

Result<std::string> SecretBox::seal(std::string_view name, std::string_view value) const {
  if (value.size() > kMaxValueBytes) {
    return make_error(ErrorCode::kResourceExhausted,
                      fmt::format("secret \"{}\" is {} bytes long, more than the limit of 1 MiB; mount a file instead",
                                  name, value.size()));
  }
  std::string sealed(kNonceBytes + value.size() + kTagBytes, '\0');
  randombytes_buf(sealed.data(), kNonceBytes);
  crypto_aead_xchacha20poly1305_ietf_encrypt(bytes_of(sealed) + kNonceBytes, nullptr, bytes_of(value), value.size(),
                                             bytes_of(name), name.size(), nullptr, bytes_of(sealed), key_->bytes);
  return std::string(kFormat) + to_base64(sealed);
}

Result<std::string> SecretBox::unseal(std::string_view name, std::string_view sealed) const {
  if (!sealed.starts_with(kFormat)) {
    return tl::unexpected(unseal_error(name));
  }
  const std::string bytes = from_base64(sealed.substr(kFormat.size()));
  if (bytes.size() < kNonceBytes + kTagBytes) {
    return tl::unexpected(unseal_error(name));
  }
  std::string value(bytes.size() - kNonceBytes - kTagBytes, '\0');
  if (crypto_aead_xchacha20poly1305_ietf_decrypt(bytes_of(value), nullptr, nullptr, bytes_of(bytes) + kNonceBytes,
                                                 bytes.size() - kNonceBytes, bytes_of(name), name.size(),
                                                 bytes_of(bytes), key_->bytes) != 0) {
    return tl::unexpected(unseal_error(name));
  }
  return value;
}

void wipe(std::string& text) {
  sodium_memzero(text.data(), text.capacity());
  text.clear();
}

}  // namespace busbar::control
