#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/error.h"

namespace busbar::control {

/// Keeps secrets unreadable at rest: XChaCha20-Poly1305 (libsodium) under a random key in <state_dir>/secret.key, mode
/// 0600, made at first start. The database, and so a backup, holds only sealed values; whoever restores one elsewhere
/// needs the key file too. The secret's name is authenticated with its value, so rows cannot be swapped.
/// Thread-safe. The key lies in locked memory and is wiped at the end.
class SecretBox {
 public:
  /// kPermissionDenied when other users of the machine could read the key, kDataCorrupt when it is not a key.
  static Result<SecretBox> open(const std::string& state_dir);
  SecretBox(SecretBox&&) noexcept;
  SecretBox& operator=(SecretBox&&) noexcept;
  ~SecretBox();

  /// Printable text for SecretRow::sealed; each call gives another one. kResourceExhausted above 1 MiB.
  Result<std::string> seal(std::string_view name, std::string_view value) const;
  /// The value; `wipe` it after use. kDataCorrupt when it was sealed under another key or name, or was changed.
  Result<std::string> unseal(std::string_view name, std::string_view sealed) const;

 private:
  struct Key;
  explicit SecretBox(std::unique_ptr<Key> key);
  std::unique_ptr<Key> key_;
};

/// Overwrites the bytes so that the compiler may not drop it, then empties the text.
void wipe(std::string& text);

}  // namespace busbar::control
