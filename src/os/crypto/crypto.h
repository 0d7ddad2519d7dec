#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/error.h"

namespace busbar::os {

/// SHA-256 of a stream of bytes (FIPS 180-4). Thread-compatible. Move-only.
class Sha256 {
 public:
  Sha256();
  Sha256(Sha256&&) noexcept;
  Sha256& operator=(Sha256&&) noexcept;
  ~Sha256();

  void update(std::string_view bytes);
  /// 64 lower-case hex digits. Ends the stream: no update may follow.
  std::string finish_hex();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// 64 lower-case hex digits.
std::string sha256(std::string_view bytes);
/// Reads the file in pieces: memory does not grow with it.
Result<std::string> sha256_file(const std::string& path);

/// RFC 2104; 32 raw bytes.
std::string hmac_sha256(std::string_view key, std::string_view message);

/// `bytes` random bytes as base64url without padding (RFC 4648 §5): 32 bytes give 43 characters.
std::string random_token(Random& random, std::size_t bytes);

std::string hex(std::string_view bytes);
std::string base64url(std::string_view bytes);

/// Takes as long wherever the first difference is; the lengths themselves are not hidden.
bool constant_time_equal(std::string_view a, std::string_view b);

}  // namespace busbar::os
